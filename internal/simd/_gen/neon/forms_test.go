package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// recorded holds instructions and their words by LLVM: a line for each form and registers, as record writes it.
const recorded = "testdata/words.txt"

var forms = []form{
	fadd, fsub, fmul, fdiv, fmax, fmin, fmla, fmls, faddp, fcmgt, isub, eor, bsl, fsqrt, fabs, fneg, fcmlt0, fcmgt0, scvtf, ucvtf,
	shl23, sshr23, fcvtl, fcvtl2, fadd2d, fmla2d, faddp2d, fcvtlHalf, fcvtl2Half, fcvtnHalf, fcvtn2Half, ushll8, ushll28, ushll16, ushll216, by, dup, readFPCR, writeFPCR,
}

// lines are all forms with several registers: "WORD $0x… // text".
func lines() (all []string) {
	for _, f := range forms {
		for _, regs := range [][]int{{0, 0, 0}, {1, 2, 3}, {31, 0, 16}, {16, 31, 8}, {8, 16, 31}, {21, 10, 27}} {
			switch {
			case f == by || f == dup:
				n := 3
				if f == dup {
					n = 2
				}
				for element := range 4 {
					all = append(all, f.encode(append(regs[:n:n], element)...))
				}
			case f == readFPCR || f == writeFPCR:
				all = append(all, f.encode(regs[0]))
			default:
				all = append(all, f.encode(regs[:strings.Count(f.text, "%d")]...))
			}
		}
	}
	return all
}

// record asks LLVM for the words of the texts of lines.
func record(t *testing.T, all []string) string {
	var texts, out strings.Builder
	for _, line := range all {
		_, text, _ := strings.Cut(line, " // ")
		texts.WriteString(text + "\n")
	}
	command := exec.Command("llvm-mc", "-triple=aarch64", "-show-encoding")
	command.Stdin = strings.NewReader(texts.String())
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("llvm-mc: %v\n%s", err, said)
	}
	encodings := regexp.MustCompile(`encoding: \[0x(..),0x(..),0x(..),0x(..)\]`).FindAllStringSubmatch(string(said), -1)
	if len(encodings) != len(all) {
		t.Fatalf("llvm-mc gave %d words for %d instructions", len(encodings), len(all))
	}
	for i, e := range encodings {
		_, text, _ := strings.Cut(all[i], " // ")
		fmt.Fprintf(&out, "WORD $0x%s%s%s%s // %s\n", e[4], e[3], e[2], e[1], text)
	}
	return out.String()
}

// TestForms holds the encoder to the words that LLVM gave, and those to LLVM if llvm-mc is installed. With METAOPT_RECORD=1 it
// writes them anew.
func TestForms(t *testing.T) {
	all := lines()
	_, err := exec.LookPath("llvm-mc")
	if os.Getenv("METAOPT_RECORD") != "" {
		if err := os.WriteFile(recorded, []byte(record(t, all)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, readErr := os.ReadFile(recorded)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err == nil && record(t, all) != string(want) {
		t.Errorf("%s is not what llvm-mc says", recorded)
	}
	words := strings.Split(strings.TrimSpace(string(want)), "\n")
	if len(words) != len(all) {
		t.Fatalf("%d words recorded for %d instructions", len(words), len(all))
	}
	for i, line := range all {
		if line != words[i] {
			t.Errorf("%s, want %s", line, words[i])
		}
	}
}
