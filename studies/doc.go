// Package studies makes the experiments with optimization problems as layers, which metaopt reproduce runs beside the figures of
// package reproduce: Sudoku and denoising as in OptNet (Amos and Kolter 2017), and maximum entropy.
//
//	result, err := studies.Run(ctx, "denoising", studies.Config{}, nil)
//	err = result.Write(os.Stdout, report.Table)
//	files, err := result.Save("runs/denoising")
//
// The same seed gives the same numbers, apart from times.
package studies
