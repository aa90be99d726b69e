// Package sudoku has Sudoku puzzles, and a layer that learns their rules from examples (OptNet, Amos and Kolter 2017, section 4.4): a
// quadratic program whose equality constraints are its weights.
//
// A board of size n has N = n² rows, columns, blocks and digits. As a vector it has N³ numbers, one for each row, column and digit:
// 1 where the cell has the digit, else 0. A puzzle has zeros for its empty cells.
package sudoku
