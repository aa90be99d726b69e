// Package sweep asks how far learned optimizers carry: it runs them and tuned hand-designed
// rules on every combination of task settings, keeps each result in a file as soon as it is
// there, and compares them cell by cell on the same instances.
//
// A Config says what is asked. Its Plan holds the cells; Run computes what a Store does not hold yet. What was written
// is package results: its Results pairs what a Store holds, its Load reads a finished or running sweep's folder.
package sweep
