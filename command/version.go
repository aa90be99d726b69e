package command

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/internal/simd"
	"learnedopt/metaopt"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the program and of Go, and the kernels in use",
		Example: `  metaopt version
  metaopt version | head -1`,
		Args: exactArgs(),
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(a.stdout, "metaopt %s\n%s %s/%s\nkernels: %s (of %s)\n",
				metaopt.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, simd.Float32().Path, strings.Join(simd.Paths(), ", "))
		},
	}
}
