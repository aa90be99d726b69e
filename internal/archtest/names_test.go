package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// A vocabulary holds what pages may name: of "metaopt" the names of a package, and of "type Run" the
// fields and methods of all types of that name, with "embeds T" for a type that they embed.
type vocabulary map[string]map[string]bool

func (v vocabulary) add(of, name string) {
	if v[of] == nil {
		v[of] = map[string]bool{}
	}
	v[of][name] = true
}

// read adds what a file of sources declares.
func (v vocabulary) read(file *ast.File) {
	pkg := file.Name.Name
	v.add(pkg, "")
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				v.add(pkg, d.Name.Name)
				continue
			}
			v.add("type "+typeName(d.Recv.List[0].Type), d.Name.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.ValueSpec:
					for _, n := range s.Names {
						v.add(pkg, n.Name)
					}
				case *ast.TypeSpec:
					v.add(pkg, s.Name.Name)
					of := "type " + s.Name.Name
					v.add(of, "")
					var fields *ast.FieldList
					switch t := s.Type.(type) {
					case *ast.StructType:
						fields = t.Fields
					case *ast.InterfaceType:
						fields = t.Methods
					default:
						continue
					}
					for _, f := range fields.List {
						for _, n := range f.Names {
							v.add(of, n.Name)
						}
						if len(f.Names) == 0 {
							v.add(of, "embeds type "+typeName(f.Type))
						}
					}
				}
			}
		}
	}
}

// has reports whether name is a member of what of names, or of a type that it embeds. Of types of other modules everything is.
func (v vocabulary) has(of, name string) bool {
	if v[of] == nil || v[of][name] {
		return true
	}
	for member := range v[of] {
		if embedded, ok := strings.CutPrefix(member, "embeds "); ok && v.has(embedded, name) {
			return true
		}
	}
	return false
}

// typeName returns the name of a type, of which there may be a pointer, without its package and type arguments.
func typeName(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return typeName(t.X)
	case *ast.IndexExpr:
		return typeName(t.X)
	case *ast.SelectorExpr:
		return t.Sel.Name
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// missing returns the code of a page that names a member which does not exist: `Type.Field`, `Type.Method` or `package.Name` of this module.
func (v vocabulary) missing(page string) (all []string, named int) {
	span := regexp.MustCompile("`[^`\n]+`")
	name := regexp.MustCompile(`(?:^|[^\w./"-])((?:[a-z]\w*|[A-Z]\w*))\.([A-Z]\w*)`)
	for _, code := range span.FindAllString(page, -1) {
		for _, m := range name.FindAllStringSubmatch(strings.Trim(code, "`"), -1) {
			of := m[1]
			if ast.IsExported(of) {
				of = "type " + of
			}
			if v[of] == nil {
				continue // a variable, or another module's package
			}
			named++
			if !v.has(of, m[2]) {
				all = append(all, code)
			}
		}
	}
	return all, named
}

// Prose that names code is checked like code: the fields, methods and functions that pages name exist.
func TestNamesInPagesExist(t *testing.T) {
	v := vocabulary{}
	files(t, ".go", func(path, content string) {
		file, err := parser.ParseFile(token.NewFileSet(), path, content, 0)
		if err != nil {
			t.Fatal(err)
		}
		file.Name.Name = strings.TrimSuffix(file.Name.Name, "_test") // examples
		v.read(file)
	})
	total := 0
	files(t, ".md", func(path, content string) {
		if path == "CHANGELOG.md" { // it names what is gone
			return
		}
		missing, named := v.missing(content)
		total += named
		for _, code := range missing {
			t.Errorf("%s: %s: there is no such name", path, code)
		}
	})
	if total < 100 {
		t.Errorf("pages name %d members; there were more", total)
	}
	if missing, _ := v.missing("`Run.SetTotal` `metaopt.Load(path)` `Run.SetNothing` `metaopt.Lode`"); len(missing) != 2 {
		t.Errorf("of two wrong names %q are found", missing)
	}
}
