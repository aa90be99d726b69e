package metatrain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
)

// This file reads saved trainings of the first form, from before internal/saved. Their arrays are plain little-endian
// numbers, and the estimator's memory is a separate array.

// upgrade converts a state of the first form to the present form, except for its arrays.
func (s *savedTraining) upgrade() {
	s.Settings = upgradeSettings(s.Settings)
	// The first form counted non-finite windows in a row: those at the end of the last meta-step that was taken, then
	// all windows of each skipped meta-step. The present form counts skipped meta-steps.
	s.Skipped /= max(len(s.Slots), 1)
}

// Settings of the first form contain zero fields, the network as fmt prints it, this package's old name, and baselines
// whose zero fields meant defaults.
var (
	firstNetwork = regexp.MustCompile(`(?m)^network: \{(.*)\}$`)
	firstField   = regexp.MustCompile(`(\w+):(\S*)( |$)`)
	zeroFields   = regexp.MustCompile(`\b[A-Z]\w* (?:0|nil|false|linear), `)
	zeroLast     = regexp.MustCompile(`(?:, )?\b[A-Z]\w* (?:0|nil|false|linear)\}`)
)

// firstDefaults write out the defaults of baselines' fields. In the first form a zero field meant the default; today
// the field must be set. If only one of Beta1 and Beta2 was zero, it had its own default.
var firstDefaults = []struct {
	zero *regexp.Regexp
	set  string
}{
	{regexp.MustCompile(`(Imitation\{.*?, Probability) 0([,}])`), "$1 0.5$2"},
	{regexp.MustCompile(`(baselines\.(?:AdaGrad|RMSProp)\{LearningRate) 0([,}])`), "$1 0.01$2"},
	{regexp.MustCompile(`(baselines\.\w+\{LearningRate) 0([,}])`), "$1 0.001$2"},
	{regexp.MustCompile(`(baselines\.(?:Momentum|Nesterov)\{LearningRate \S+, Momentum) 0\}`), "$1 0.9}"},
	{regexp.MustCompile(`(baselines\.RMSProp\{LearningRate \S+, Alpha) 0,`), "$1 0.99,"},
	{regexp.MustCompile(`(baselines\.Adam\{LearningRate \S+,) Beta1 0, Beta2 0,`), "$1"},
	{regexp.MustCompile(`(baselines\.Adam\{LearningRate \S+,) Beta1 0,`), "$1 Beta1 0.9,"},
	{regexp.MustCompile(`(baselines\.Adam\{LearningRate \S+, Beta1 \S+,) Beta2 0,`), "$1 Beta2 0.999,"},
	{regexp.MustCompile(`(baselines\.Adam\{LearningRate \S+,) Beta1 (\S+), Beta2 (\S+),`), "$1 Betas [$2 $3],"},
}

// upgradeSettings returns settings of the first form as Trainer.settings would write them today.
func upgradeSettings(settings string) string {
	settings = firstNetwork.ReplaceAllStringFunc(settings, func(line string) string {
		inner := firstNetwork.FindStringSubmatch(line)[1]
		inner = firstField.ReplaceAllString(inner, "$1 $2, ")
		return "network: lstm.Config{" + strings.TrimSuffix(inner, ", ") + "}"
	})
	lines := strings.Split(settings, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "network: ") || strings.HasPrefix(line, "estimator: ") {
			for _, d := range firstDefaults {
				line = d.zero.ReplaceAllString(line, d.set)
			}
			line = zeroFields.ReplaceAllString(line, "")
			line = zeroLast.ReplaceAllString(line, "}")
			lines[i] = strings.ReplaceAll(line, "metaopt.", "metatrain.")
		}
	}
	return strings.Join(lines, "\n")
}

// firstFloats fills x with data.
func firstFloats(x []float32, data []byte) error {
	if len(data) != 4*len(x) {
		return errShort
	}
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return nil
}

// firstHead is the size of an episode's header in bytes: step (uint64), open (uint64, 0 or 1), loss (float64). After
// the header come θ, the last gradient, and the network state's own form with its network's fingerprint.
const firstHead = 24

// unmarshalFirst is UnmarshalBinary for the first form. The network must be the one with which the training was saved.
// window is the estimator's memory, nil if there is none.
func (ep *Episode) unmarshalFirst(data, window []byte) error {
	n := 4 * len(ep.Theta)
	if len(data) < firstHead+2*n {
		return errShort
	}
	step, open := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
	if step > math.MaxInt32 || open > 1 {
		return fmt.Errorf("an episode at step %d", step)
	}
	ep.Step, ep.open = int(step), open == 1
	ep.loss = math.Float64frombits(binary.LittleEndian.Uint64(data[16:]))
	data = data[firstHead:]
	err := errors.Join(firstFloats(ep.Theta, data[:n]), firstFloats(ep.grad, data[n:2*n]), ep.State.UnmarshalBinary(data[2*n:]))
	if err != nil {
		return err
	}
	switch m := ep.Memory.(type) {
	case *pesMemory:
		if len(window) == 0 {
			ep.Memory = nil // PES begins anew
			break
		}
		err = m.unmarshalFirst(window)
	case *teacherMemory:
		err = unmarshalState(m.state, window)
	default:
		if len(window) > 0 {
			err = errShort
		}
	}
	ep.resume()
	return err
}

// unmarshalFirst is UnmarshalBinary for the first form: each pair's ξ (float64), then the sides, all of the same size
// in bytes.
func (m *pesMemory) unmarshalFirst(data []byte) error {
	for _, xi := range m.xi {
		if len(data) < 8*len(xi) {
			return errShort
		}
		for i := range xi {
			xi[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
		}
		data = data[8*len(xi):]
	}
	others := m.sides[1:]
	size := len(data) / len(others)
	if size*len(others) != len(data) {
		return errShort
	}
	for i, side := range others {
		if err := side.unmarshalFirst(data[i*size:][:size], nil); err != nil {
			return err
		}
		if side.Step != m.sides[0].Step {
			return fmt.Errorf("sides of PES at steps %d and %d", m.sides[0].Step, side.Step)
		}
	}
	return nil
}
