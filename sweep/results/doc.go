// Package results holds what a sweep wrote: who reads a sweep's folder needs neither its tasks nor its optimizers.
//
// A Manifest (sweep.json) says which cells a sweep has and which rules ran in them. A Record (a line of cells.jsonl) says how one
// rule did in one cell. Compare pairs the records of a cell; Results has all cells and sums them up; Load reads a folder.
//
// Data flow one way: package sweep makes records by NewRecord and writes them, and whoever reads them, reads these
// types.
package results
