// Package sweep asks how far learned optimizers carry: it runs them and tuned hand-designed
// rules on every combination of task settings, keeps each result in a file as soon as it is
// there, and compares them cell by cell on the same instances.
//
// A Config describes the sweep. Its Plan holds the cells. Run computes the records that a Store does not hold yet. Package
// results reads what was written: Results compares the records of a Store, and Load reads the folder of a finished or
// running sweep.
package sweep
