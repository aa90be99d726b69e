package archtest

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// files calls f with the path, from the module's root, and the content of every file with an extension.
func files(t *testing.T, ext string, f func(path, content string)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (name[0] == '.' || name[0] == '_' || name == "testdata" || name == "runs") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ext {
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil {
			f(filepath.ToSlash(rel), string(data))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sketches are pages whose blocks may be incomplete, with an ellipsis or half a line: each has a
// tested example beside it.
var sketches = []string{"README.md", "docs/using.md", "docs/guard.md", "docs/layers.md", "docs/adapters/"}

// Go code in the documentation compiles and runs: every block of a page consists of consecutive lines of
// one Go file, except for the indentation.
func TestGoCodeOfPagesIsInTheSources(t *testing.T) {
	normal := func(text string) string {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			lines[i] = strings.Join(strings.Fields(line), " ")
		}
		return "\n" + strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
	}
	var sources []string
	files(t, ".go", func(_, content string) { sources = append(sources, normal(content)) })
	blocks := 0
	files(t, ".md", func(path, content string) {
		for _, s := range sketches {
			if strings.HasPrefix(path, s) {
				return
			}
		}
		parts := strings.Split(content, "```")
		for i := 1; i < len(parts); i += 2 {
			code, isGo := strings.CutPrefix(parts[i], "go\n")
			if !isGo {
				continue
			}
			blocks++
			code = normal(code)
			if !slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, code) }) {
				t.Errorf("%s: no source has this block:\n%s", path, code)
			}
		}
	})
	if blocks < 20 {
		t.Errorf("%d blocks of Go in pages; there were more", blocks)
	}
}

// Every name that other modules can use has a comment.
func TestExportedNamesAreDocumented(t *testing.T) {
	named := 0
	files(t, ".go", func(path, content string) {
		if strings.HasSuffix(path, "_test.go") || strings.Contains("/"+path, "/internal/") || strings.Contains(path, "/examples/") {
			return
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, content, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name.Name == "main" || ast.IsGenerated(file) {
			return
		}
		check := func(node ast.Node, name string, docs ...*ast.CommentGroup) {
			named++
			for _, d := range docs {
				if d != nil && len(new(comment.Parser).Parse(d.Text()).Content) > 0 {
					return
				}
			}
			t.Errorf("%s: %s has no comment", set.Position(node.Pos()), name)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) {
					check(d, d.Name.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						if s.Name.IsExported() {
							check(s, s.Name.Name, s.Doc, d.Doc)
						}
					case *ast.ValueSpec:
						for _, n := range s.Names {
							if n.IsExported() {
								check(s, n.Name, s.Doc, s.Comment, d.Doc)
							}
						}
					}
				}
			}
		}
	})
	if named < 300 {
		t.Errorf("only %d exported names were seen", named)
	}
}

// exportedReceiver reports whether a function has no receiver, or one that other packages can name.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}

// Every test that a page names exists.
func TestTestsThatPagesNameExist(t *testing.T) {
	var sources strings.Builder
	files(t, ".go", func(path, content string) {
		if strings.HasSuffix(path, "_test.go") {
			sources.WriteString(content)
		}
	})
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
	count := 0
	files(t, ".md", func(path, content string) {
		for _, m := range named.FindAllStringSubmatch(content, -1) {
			count++
			if !strings.Contains(sources.String(), "func "+m[1]+"(") {
				t.Errorf("%s: there is no %s", path, m[1])
			}
		}
	})
	if count < 50 {
		t.Errorf("pages name %d tests; there were more", count)
	}
}

// docs/design.md, the map of the house, has a row for every package that others can import, and rows for nothing else. Packages
// of examples, tests and tutorials are not parts of the house, and packages under internal/ are parts of those that import them.
func TestEveryPackageIsInTheDesign(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "\n## Packages\n")
	table, _, _ = strings.Cut(table, "\n## ")
	packages, err := read(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	missing, strange := rowless(table, packages)
	for _, name := range missing {
		t.Errorf("docs/design.md: no row of the table of packages has %s", name)
	}
	for _, name := range strange {
		t.Errorf("docs/design.md: the table of packages has %s, which is no package", name)
	}
	missing, strange = rowless("| `optimizer`, `gone` | |\n| `adapters/*` | |", tree{"optimizer": nil, "rules": nil, "adapters/gonum": nil, "internal/x": nil, "adapters/gonum/examples/y": nil})
	if !slices.Equal(missing, []string{"rules"}) || !slices.Equal(strange, []string{"gone"}) {
		t.Errorf("the test itself finds %q missing and %q strange", missing, strange)
	}
}

// rowless returns the packages without a row in a table, and the names in its first column that are no packages. A name that ends
// in /* is for all packages directly below a folder.
func rowless(table string, packages tree) (missing, strange []string) {
	named := map[string]bool{}
	name := regexp.MustCompile("`([^`]+)`")
	for line := range strings.SplitSeq(table, "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range name.FindAllStringSubmatch(cells[1], -1) {
				named[m[1]] = true
			}
		}
	}
	var known []string
	for p := range packages {
		if parent := path.Dir(p); named[parent+"/*"] {
			known = append(known, parent+"/*")
		} else if part := "/" + p + "/"; !named[p] && !strings.Contains(part, "/internal/") && !strings.Contains(part, "/examples/") && !strings.Contains(part, "/example/") && !strings.HasPrefix(part, "/docs/") && part != "/./" {
			missing = append(missing, p)
		}
		known = append(known, p)
	}
	for n := range named {
		if !slices.Contains(known, n) {
			strange = append(strange, n)
		}
	}
	slices.Sort(missing)
	slices.Sort(strange)
	return missing, strange
}

// Links to files of the repository lead to existing files.
func TestLinksOfPagesLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	count := 0
	files(t, ".md", func(path, content string) {
		for _, m := range link.FindAllStringSubmatch(content, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			count++
			if _, err := os.Stat(filepath.Join("..", "..", filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
	if count < 50 {
		t.Errorf("pages have %d links; there were more", count)
	}
}
