// Package archtest tests the structure of the module: which packages a package may
// import, and how long a file may be.
package archtest

import (
	"bufio"
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the module's path and a slash.
var module = func() string {
	data, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		panic(err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimPrefix(first, "module ") + "/"
}()

// A rule says what a package may import. The packages of this module are listed transitively:
// a program that imports the package gets all of them.
type rule struct {
	own    []string // packages of this module; "internal/" stands for all packages below it
	others []string // import paths of other modules, or prefixes of such paths; nil allows only the standard library
}

// light are the internal packages with few dependencies on other modules. A program that only
// loads an optimizer gets no other internal packages.
var light = []string{"internal/cputime", "internal/simd", "internal/stream", "internal/fan", "internal/nearest", "internal/saved", "internal/durable", "internal/gemm", "internal/precondition"}

// rules has an entry for every package of the module, except for packages
// below internal/ that the other packages of the module cannot import.
var rules = map[string]rule{
	"optimizer": {},
	// Wrappers around any rule.
	"rules": {
		own: []string{"optimizer", "internal/saved", "internal/precondition"},
	},
	"optimizer/optimizertest": {
		own: []string{"optimizer", "internal/"},
	},
	"lstm": {
		own: append([]string{"optimizer"}, light...),
	},
	// Rules with second-order information, for problems that offer it.
	"curvature": {
		own: append([]string{"optimizer"}, light...),
	},
	// Whoever gets the hand-designed rules gets those with curvature, under one list of names.
	"baselines": {
		own: append([]string{"optimizer", "curvature"}, light...),
	},
	"tasks": {
		own: []string{"optimizer", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "internal/"},
		others: []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor", "go4.org/unsafe/assume-no-moving-gc",
			"gonum.org/v1/gonum", "golang.org/x/image"},
	},
	// Quadratic programs and implicit differentiation know nothing of optimizers, and gonum only.
	"qp": {
		own:    []string{"internal/fan"},
		others: []string{"gonum.org/v1/gonum"},
	},
	"implicit": {
		others: []string{"gonum.org/v1/gonum"},
	},
	// Solvers with something learned in them: any rule, but no concrete one.
	"qp/learned": {
		own:    []string{"qp", "optimizer", "internal/stream", "internal/fan"},
		others: []string{"gonum.org/v1/gonum"},
	},
	// Environments, decision processes and policies, for any rule.
	"policy": {
		own:    []string{"optimizer", "internal/"},
		others: []string{"gonum.org/v1/gonum"},
	},
	// Puzzles, and a quadratic program that learns their rules.
	"sudoku": {
		own:    []string{"qp", "optimizer", "internal/fan"},
		others: []string{"gonum.org/v1/gonum"},
	},
	// Total variation, and a quadratic program that learns to denoise.
	"denoising": {
		own:    []string{"qp", "optimizer", "internal/fan"},
		others: []string{"gonum.org/v1/gonum"},
	},
	// The method of multipliers around any rule.
	"lagrange": {
		own:    []string{"optimizer"},
		others: []string{"gonum.org/v1/gonum"},
	},
	// Downloads only on demand: tasks itself opens no connection.
	"tasks/fetch": {own: []string{"internal/nearest"}},
	// A program that loads a finished optimizer gets neither Gorgonia nor plots nor flags.
	"metaopt": {
		own: []string{"optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l",
			"internal/simd", "internal/stream", "internal/fan", "internal/nearest", "internal/saved", "internal/durable", "internal/gemm", "internal/precondition"},
	},
	// The library for C: what a loader imports, and the formats that others write.
	"clib": {
		own: append([]string{"metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l", "checkpoints/exchange"}, light...),
	},
	// Comparing rules does not need the code that trains them.
	"compare": {
		own:    append([]string{"metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l"}, light...),
		others: []string{"gonum.org/v1/gonum"},
	},
	// Tuning hand-designed rules, then comparing with them.
	"versus": {
		own: append([]string{"compare", "rules", "metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l"}, light...),
	},
	"metatrain": {
		own:    append([]string{"compare", "metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l"}, light...),
		others: []string{"gonum.org/v1/gonum"},
	},
	"metatrain/adjoint": {
		own: append([]string{"metatrain", "compare", "metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l"},
			light...),
		others: []string{"gonum.org/v1/gonum"},
	},
	// A training as a value: neither flags nor terminals.
	"recipe": {
		own: []string{"optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "checkpoints", "checkpoints/l2l", "internal/"},
	},
	// Run folders: neither flags nor printing.
	"runfolder": {
		own: []string{"optimizer", "rules", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "versus", "recipe", "checkpoints", "checkpoints/l2l", "internal/"},
	},
	// Units on many machines: the only package, beside the server of the next one, that knows NATS. No loader gets it.
	"distributed": {
		own:    []string{"distributed/fleet", "optimizer", "rules", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "recipe", "checkpoints", "checkpoints/l2l", "internal/", "sweep", "sweep/results", "versus"},
		others: []string{"github.com/nats-io/nats.go", "github.com/nats-io/nuid"},
	},
	// What the file of a run's workers holds, for programs without NATS.
	"distributed/fleet": {own: []string{"internal/durable"}},
	// A model of many machines: it knows none of them.
	"distributed/simulation": {own: []string{"internal/stream"}},
	"distributed/embedded": {
		others: []string{"github.com/nats-io/nats-server/v2/server"},
	},
	// Figures and table of a paper: what to run, the store of answers, drawing; neither flags nor printing.
	"reproduce": {
		own: []string{"versus", "rules", "report", "report/comparison", "sweep/results", "optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "recipe",
			"checkpoints", "checkpoints/l2l", "internal/"},
	},
	// Experiments with optimization problems as layers, with policies, and with natural gradients; neither flags nor printing.
	"studies": {
		own: []string{"policy", "tasks", "implicit", "qp", "qp/learned", "lagrange", "sudoku", "denoising", "baselines", "curvature", "rules", "optimizer", "lstm", "metaopt", "metatrain", "compare", "checkpoints", "checkpoints/l2l",
			"report", "tensorboard", "internal/"},
		others: []string{"gonum.org/v1/gonum"},
	},
	"bench": {
		own: []string{"optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "checkpoints", "checkpoints/l2l", "internal/"},
	},
	"checkpoints": {
		own:    []string{"internal/durable"},
		others: []string{"github.com/vmihailenco/msgpack/v5"},
	},
	"checkpoints/l2l": {
		own: []string{"checkpoints", "internal/durable"},
	},
	// Formats of other programs: only a program that converts files needs them.
	"checkpoints/exchange": {
		own: []string{"checkpoints", "internal/durable"},
	},
	"report": {
		own:    []string{"internal/durable"},
		others: []string{"gonum.org/v1/plot", "github.com/olekukonko/tablewriter"},
	},
	// Tables and pictures of comparisons and sweeps: what report is not to know.
	"report/comparison": {
		own: append([]string{"report", "sweep/results", "compare", "metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l"},
			light...),
	},
	"tensorboard": {
		others: []string{"google.golang.org/protobuf/encoding/protowire"},
	},
	// Pages are made from files, which are read by the types that wrote them.
	"htmlreport": {
		own: append([]string{"distributed/fleet", "sweep/results", "metatrain", "compare", "metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l", "internal/lock", "report", "report/comparison"},
			light...),
		others: []string{"github.com/gofrs/flock", "gonum.org/v1/"},
	},
	// The records of a sweep, for programs that read them without the sweep's tasks.
	"sweep/results": {
		own: append([]string{"compare", "metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l"}, light...),
	},
	// Sweeps compute and compare; they draw nothing.
	"sweep": {
		own:    []string{"sweep/results", "versus", "rules", "optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "checkpoints", "checkpoints/l2l", "internal/"},
		others: []string{"github.com/BurntSushi/toml"},
	},
	// Models for other runtimes, in protobuf's wire format.
	"adapters/onnx": {
		own:    append([]string{"metaopt", "optimizer", "lstm", "baselines", "curvature", "checkpoints", "checkpoints/l2l"}, light...),
		others: []string{"google.golang.org/protobuf/encoding/protowire"},
	},
	// Only gonum, which its user has anyway.
	"adapters/gonum": {
		own:    []string{"optimizer"},
		others: []string{"gonum.org/v1/gonum"},
	},
	"adapters/gonum/examples/testfunctions": {
		own:    []string{"optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "adapters/gonum", "checkpoints", "checkpoints/l2l", "internal/"},
		others: []string{"gonum.org/v1/gonum"},
	},
	// Programs of many kinds, as their users would write them.
	"examples/programs": {
		own: []string{"optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "checkpoints", "checkpoints/l2l", "internal/"},
	},
	// The whole command as a function, for programs with tasks of their own.
	"command": {
		own: []string{"optimizer", "rules", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "qp/learned", "implicit", "lagrange", "sudoku", "denoising", "tasks/fetch", "metaopt", "metatrain", "metatrain/adjoint", "compare", "versus", "recipe", "runfolder", "distributed", "distributed/embedded", "distributed/fleet", "distributed/simulation", "reproduce", "studies", "bench", "checkpoints", "checkpoints/l2l",
			"checkpoints/exchange", "adapters/onnx", "report", "report/comparison", "htmlreport", "sweep", "sweep/results", "tensorboard", "internal/"},
		others: []string{"github.com/spf13/", "github.com/schollz/progressbar/v3", "golang.org/x/term",
			"golang.org/x/sys"},
	},
	"cmd/metaopt": {
		own: []string{"command", "adapters/onnx", "optimizer", "rules", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "qp/learned", "implicit", "lagrange", "sudoku", "denoising", "tasks/fetch", "metaopt", "metatrain", "metatrain/adjoint", "compare", "versus", "recipe", "runfolder", "distributed", "distributed/embedded", "distributed/fleet", "distributed/simulation", "reproduce", "studies", "bench", "checkpoints", "checkpoints/l2l",
			"checkpoints/exchange", "report", "report/comparison", "htmlreport", "sweep", "sweep/results", "tensorboard", "internal/"},
		others: []string{"github.com/spf13/", "github.com/schollz/progressbar/v3", "golang.org/x/term",
			"golang.org/x/sys"},
	},
	"examples/owntask": {
		own: []string{"command", "adapters/onnx", "optimizer", "rules", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "qp/learned", "implicit", "lagrange", "sudoku", "denoising", "tasks/fetch", "metaopt", "metatrain", "metatrain/adjoint", "compare", "versus", "recipe", "runfolder", "distributed", "distributed/embedded", "distributed/fleet", "distributed/simulation", "reproduce", "studies", "bench", "checkpoints", "checkpoints/l2l",
			"checkpoints/exchange", "report", "report/comparison", "htmlreport", "sweep", "sweep/results", "tensorboard", "internal/"},
		others: []string{"github.com/spf13/", "github.com/schollz/progressbar/v3", "golang.org/x/term",
			"golang.org/x/sys"},
	},
	// A separate module below this one, so that nobody else depends on GoMLX.
	"adapters/gomlx": {
		own:    append([]string{"lstm", "optimizer"}, light...),
		others: []string{"github.com/gomlx/gomlx"},
	},
	"adapters/gomlx/internal/cputime": {},
	"adapters/gomlx/internal/classifier": {
		own:    []string{"adapters/gomlx/internal/cputime", "optimizer", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "internal/"},
		others: []string{"github.com/gomlx/gomlx"},
	},
	"adapters/gomlx/example": {
		own: []string{"adapters/gomlx", "adapters/gomlx/internal/cputime", "adapters/gomlx/internal/classifier",
			"optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "checkpoints", "checkpoints/l2l", "internal/"},
		others: []string{"github.com/gomlx/gomlx"},
	},
	// Only Gorgonia, which its user has anyway.
	"adapters/gorgonia": {
		own:    []string{"optimizer", "internal/saved", "internal/stream", "internal/divergence", "internal/precondition"},
		others: []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor", "github.com/chewxy/hm"},
	},
	// Layers that are optimization problems: no optimizer comes with them.
	"adapters/gorgonia/layers": {
		own:    []string{"qp", "implicit", "internal/fan", "internal/operation"},
		others: []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor"},
	},
	"adapters/gorgonia/examples/internal/compare": {
		own:    []string{"adapters/gorgonia", "optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "checkpoints", "checkpoints/l2l", "internal/"},
		others: []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor"},
	},
	"adapters/gorgonia/examples/mlp": {
		own: []string{"adapters/gorgonia", "adapters/gorgonia/examples/internal/compare",
			"optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "checkpoints", "checkpoints/l2l", "internal/"},
		others: []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor"},
	},
	"adapters/gorgonia/examples/convnet": {
		own: []string{"adapters/gorgonia", "adapters/gorgonia/examples/internal/compare",
			"optimizer", "lstm", "baselines", "curvature", "tasks", "policy", "qp", "implicit", "lagrange", "sudoku", "denoising", "metaopt", "metatrain", "compare", "checkpoints", "checkpoints/l2l", "internal/"},
		others: []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor"},
	},
	"internal/gemm": {own: []string{"internal/simd"}, others: []string{"golang.org/x/sys/cpu"}},
	// Derivatives of networks that Gorgonia's graphs do not provide.
	"internal/gemm/mlp":  {own: []string{"internal/gemm", "internal/simd"}},
	"internal/gemm/conv": {own: []string{"internal/gemm", "internal/gemm/mlp", "internal/simd"}},
	"internal/gemm/rnn":  {own: []string{"internal/gemm", "internal/gemm/mlp", "internal/simd"}},
	"internal/gemm/layers": {
		own:    []string{"internal/gemm", "internal/gemm/mlp", "internal/simd", "internal/operation"},
		others: []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor"},
	},
	"internal/operation":    {others: []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor", "github.com/chewxy/hm"}},
	"internal/simd":         {others: []string{"golang.org/x/sys/cpu"}},
	"internal/stream":       {},
	"internal/durable":      {},
	"internal/lock":         {others: []string{"github.com/gofrs/flock"}},
	"internal/fan":          {},
	"internal/divergence":   {},
	"internal/nearest":      {},
	"internal/saved":        {},
	"internal/precondition": {},
}

// A tree maps a package's folder to the imports of its files, without tests.
type tree map[string][]string

func TestImportsRunDownward(t *testing.T) {
	packages, err := read(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(packages["optimizer"]) == 0 || len(packages["lstm"]) == 0 {
		t.Fatalf("found no sources: %v", packages)
	}
	for _, complaint := range violations(packages, rules) {
		t.Error(complaint)
	}
}

// The test itself finds each kind of mistake.
func TestViolationsAreFound(t *testing.T) {
	table := map[string]rule{
		"optimizer":     {},
		"lstm":          {own: []string{"optimizer", "internal/"}},
		"metaopt":       {own: []string{"optimizer", "lstm", "internal/"}, others: []string{"gonum.org/v1/gonum"}},
		"internal/simd": {},
	}
	for name, c := range map[string]struct {
		packages tree
		want     string
	}{
		"clean": {tree{
			"optimizer": {"math"}, "lstm": {module + "optimizer", module + "internal/simd"}, "internal/simd": {"math/bits"},
			"metaopt": {module + "lstm", "gonum.org/v1/gonum/stat", "encoding/json"}, "internal/scratch": {module + "metaopt"},
		}, ""},
		"upward":           {tree{"lstm": {module + "metaopt"}, "metaopt": {"math"}}, "lstm imports metaopt"},
		"through internal": {tree{"lstm": {module + "internal/x"}, "internal/x": {module + "metaopt"}, "metaopt": {"math"}}, "lstm imports metaopt"},
		"another module":   {tree{"optimizer": {"gonum.org/v1/gonum/mat"}}, "optimizer imports gonum.org/v1/gonum/mat"},
		"only its prefix":  {tree{"metaopt": {"gonum.org/v1/gonumerous"}}, "metaopt imports gonum.org/v1/gonumerous"},
		"from a kernel":    {tree{"internal/simd": {module + "optimizer"}, "optimizer": {"math"}}, "internal/simd imports optimizer"},
		"unknown package":  {tree{"plots": {"math"}}, "plots has no rule"},
	} {
		got := strings.Join(violations(c.packages, table), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func violations(packages tree, rules map[string]rule) (complaints []string) {
	for name, imports := range packages {
		r, ok := rules[name]
		if !ok {
			if !strings.HasPrefix(name, "internal/") {
				complaints = append(complaints, fmt.Sprintf("%s has no rule: say in rules what it may import", name))
			}
			continue
		}
		for _, path := range reach(packages, name) {
			if !slices.ContainsFunc(r.own, func(allowed string) bool {
				return path == allowed || strings.HasSuffix(allowed, "/") && strings.HasPrefix(path, allowed)
			}) {
				complaints = append(complaints, fmt.Sprintf("%s imports %s, itself or through others", name, path))
			}
		}
		for _, path := range imports {
			if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") || strings.HasPrefix(path, module) {
				continue // this module or the standard library
			}
			if !slices.ContainsFunc(r.others, func(allowed string) bool {
				return path == allowed || strings.HasPrefix(path, strings.TrimSuffix(allowed, "/")+"/")
			}) {
				complaints = append(complaints, fmt.Sprintf("%s imports %s", name, path))
			}
		}
	}
	slices.Sort(complaints)
	return complaints
}

// reach returns the packages of this module that a package imports, directly or
// through other packages.
func reach(packages tree, from string) (found []string) {
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, path := range packages[queue[0]] {
			if own, ok := strings.CutPrefix(path, module); ok && !slices.Contains(found, own) {
				found, queue = append(found, own), append(queue, own)
			}
		}
	}
	return found
}

// read parses the import clauses of every file, whatever platform it is built for.
func read(root string) (tree, error) {
	packages := tree{}
	err := sources(root, func(name string, data []byte) error {
		folder := path.Dir(name)
		if strings.HasSuffix(name, "_test.go") || strings.Contains("/"+folder, "/_") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ImportsOnly)
		if err != nil {
			return err
		}
		imports := packages[folder]
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(imports, imported) {
				imports = append(imports, imported)
			}
		}
		packages[folder] = imports
		return nil
	})
	return packages, err
}

// sources calls f for every Go file of the module with its path from the root,
// in slashes.
func sources(root string, f func(name string, data []byte) error) error {
	return filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || len(entry.Name()) > 2 && entry.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if entry.IsDir() || filepath.Ext(file) != ".go" {
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		return f(filepath.ToSlash(name), data)
	})
}

func TestFilesAreShort(t *testing.T) {
	const longest = 600
	files := 0
	err := sources(filepath.Join("..", ".."), func(name string, data []byte) error {
		files++
		if n := bytes.Count(data, []byte("\n")); n > longest && !generated(data) {
			t.Errorf("%s has %d lines: split it by meaning (limit %d)", name, n, longest)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("only %d files were found", files)
	}
}

// generated reports whether a file has the standard mark of generated code.
func generated(data []byte) bool {
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "// Code generated ") && strings.HasSuffix(line, " DO NOT EDIT.") {
			return true
		}
		if strings.HasPrefix(line, "package ") {
			return false
		}
	}
	return false
}

func TestGeneratedFilesAreKnown(t *testing.T) {
	for text, want := range map[string]bool{
		"// Code generated by avo. DO NOT EDIT.\n\npackage simd\n":               true,
		"//go:build amd64\n\n// Code generated by x. DO NOT EDIT.\npackage simd": true,
		"package simd\n// Code generated by avo. DO NOT EDIT.\n":                 false,
		"// Code generated by hand.\npackage simd\n":                             false,
	} {
		if got := generated([]byte(text)); got != want {
			t.Errorf("generated(%q) = %v", text, got)
		}
	}
}
