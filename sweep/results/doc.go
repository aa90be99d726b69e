// Package results holds the records of a sweep. A program that reads a sweep's folder needs this package, but neither the
// sweep's tasks nor its optimizers.
//
// A Manifest (sweep.json) says which cells a sweep has and which rules run in them. A Record (a line of cells.jsonl) says how
// one rule did in one cell. Compare pairs the records of a cell. Results holds all cells and sums them up. Load reads a folder.
//
// Data flow one way: package sweep makes records by NewRecord and writes them; every reader uses the types of this package.
package results
