// Package studies makes the experiments that metaopt reproduce runs beside the figures of package reproduce: optimization problems as
// layers, with Sudoku and denoising as in OptNet (Amos and Kolter 2017), maximum entropy, and policy gradients with the steps of TRPO (Schulman et al. 2015).
//
//	result, err := studies.Run(ctx, "denoising", studies.Config{}, nil)
//	err = result.Write(os.Stdout, report.Table)
//	files, err := result.Save("runs/denoising")
//
// The same seed gives the same numbers, apart from times.
package studies
