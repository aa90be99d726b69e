package recipe

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"learnedopt/baselines"
	"learnedopt/lstm"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// A kind describes the values of an option, and converts text to a field of a Recipe and back.
type kind struct {
	placeholder string
	names       []string // all values, if the option is a choice of names
	set         func(r *Recipe, text string) error
	text        func(r *Recipe) string // "" if the field is not set
}

// whole is the kind of whole numbers that are at least least.
func whole(least int, field func(*Recipe) *int) kind {
	return kind{
		placeholder: "N",
		set: func(r *Recipe, text string) error {
			v, err := parseWhole(text, least)
			if err == nil {
				*field(r) = v
			}
			return err
		},
		text: func(r *Recipe) string { return unlessZero(*field(r), strconv.Itoa) },
	}
}

// zeroOr is the kind of whole numbers of at least 0, for a field in which 0 is a real value.
func zeroOr(field func(*Recipe) **int) kind {
	return kind{
		placeholder: "N",
		set: func(r *Recipe, text string) error {
			v, err := parseWhole(text, 0)
			if err == nil {
				*field(r) = &v
			}
			return err
		},
		text: func(r *Recipe) string { return unlessNil(*field(r), strconv.Itoa) },
	}
}

// maxCount bounds counts, so that a stranger's recipe cannot ask for all memory.
const maxCount = 1_000_000_000

func parseWhole(text string, least int) (int, error) {
	v, err := strconv.Atoi(text)
	if err != nil || v < least {
		return 0, fmt.Errorf("it must be a whole number of at least %d", least)
	}
	if v > maxCount {
		return 0, fmt.Errorf("it must be at most %d", maxCount)
	}
	return v, nil
}

// positive is the kind of finite numbers above 0.
func positive(field func(*Recipe) *float64) kind {
	return kind{
		placeholder: "F",
		set: func(r *Recipe, text string) error {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || !(v > 0) || math.IsInf(v, 0) {
				return errors.New("it must be a positive number")
			}
			*field(r) = v
			return nil
		},
		text: func(r *Recipe) string { return unlessZero(*field(r), float) },
	}
}

// atLeastZero is the kind of finite numbers of at least 0.
func atLeastZero(placeholder string, field func(*Recipe) *float64) kind {
	k := positive(field)
	k.placeholder = placeholder
	k.set = func(r *Recipe, text string) error {
		v, err := parseAtLeastZero(text)
		if err == nil {
			*field(r) = v
		}
		return err
	}
	return k
}

// zeroOrPositive is atLeastZero for a field in which 0 is a real value.
func zeroOrPositive(field func(*Recipe) **float64) kind {
	return kind{
		placeholder: "F",
		set: func(r *Recipe, text string) error {
			v, err := parseAtLeastZero(text)
			if err == nil {
				*field(r) = &v
			}
			return err
		},
		text: func(r *Recipe) string { return unlessNil(*field(r), float) },
	}
}

func parseAtLeastZero(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 0) {
		return 0, errors.New("it must be a number of at least 0")
	}
	return v + 0, nil // turns -0 into 0
}

// probability is the kind of probabilities above 0.
func probability(field func(*Recipe) *float64) kind {
	k := positive(field)
	k.placeholder = "P"
	k.set = func(r *Recipe, text string) error {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v > 0 && v <= 1) {
			return errors.New("it must be a probability above 0, at most 1")
		}
		*field(r) = v
		return nil
	}
	return k
}

// bound is the kind of Bounds.
func bound(field func(*Recipe) *Bound) kind {
	return kind{
		placeholder: "F",
		set: func(r *Recipe, text string) error {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || !(v > 0) {
				return errors.New("it must be a positive number")
			}
			*field(r) = Bound(v)
			return nil
		},
		text: func(r *Recipe) string {
			b := float64(*field(r))
			if math.IsInf(b, 1) {
				return "inf"
			}
			return unlessZero(b, float)
		},
	}
}

// truth is the kind of true or false.
func truth(field func(*Recipe) *bool) kind {
	return kind{
		placeholder: boolean,
		set: func(r *Recipe, text string) error {
			v, err := parseBool(text)
			if err == nil {
				*field(r) = v
			}
			return err
		},
		text: func(r *Recipe) string { return unlessZero(*field(r), strconv.FormatBool) },
	}
}

// boolean is the placeholder of options whose flag needs no value.
const boolean = "bool"

// falseOr is truth for a field whose default may be true.
func falseOr(field func(*Recipe) **bool) kind {
	return kind{
		placeholder: boolean,
		set: func(r *Recipe, text string) error {
			v, err := parseBool(text)
			if err == nil {
				*field(r) = &v
			}
			return err
		},
		text: func(r *Recipe) string { return unlessNil(*field(r), strconv.FormatBool) },
	}
}

func parseBool(text string) (bool, error) {
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New("it must be true or false")
	}
	return v, nil
}

// words is the kind of texts that check accepts. A nil check accepts every text.
func words(placeholder string, check func(string) error, field func(*Recipe) *string) kind {
	return kind{
		placeholder: placeholder,
		set: func(r *Recipe, text string) error {
			if text == "" {
				return errors.New("it must not be empty")
			}
			if len(text) > maxText {
				return fmt.Errorf("it must have at most %d bytes", maxText)
			}
			if check != nil {
				if err := check(text); err != nil {
					return err
				}
			}
			*field(r) = text
			return nil
		},
		text: func(r *Recipe) string { return *field(r) },
	}
}

// maxText is the largest size of a text, in bytes.
const maxText = 4096

// oneOf is the kind of a few names.
func oneOf(names []string, field func(*Recipe) *string) kind {
	k := words("NAME", func(text string) error {
		if !slices.Contains(names, text) {
			return errors.New("it must be " + anyOf(names))
		}
		return nil
	}, field)
	k.names = names
	return k
}

// anyOf is "a", "a or b", "a, b or c".
func anyOf(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// ascending is the kind of ascending lists of positive whole numbers.
func ascending(field func(*Recipe) *[]int) kind {
	return kind{
		placeholder: "N,N",
		set: func(r *Recipe, text string) error {
			var all []int
			for word := range strings.SplitSeq(text, ",") {
				v, err := parseWhole(word, 1)
				if err != nil || len(all) > 0 && v <= all[len(all)-1] {
					return errors.New("it must be positive whole numbers that ascend, as 100,200,1000")
				}
				all = append(all, v)
			}
			*field(r) = all
			return nil
		},
		text: func(r *Recipe) string {
			var all []string
			for _, v := range *field(r) {
				all = append(all, strconv.Itoa(v))
			}
			return strings.Join(all, ",")
		},
	}
}

// span is the kind of positive times.
func span(field func(*Recipe) *Duration) kind {
	return kind{
		placeholder: "T",
		set: func(r *Recipe, text string) error {
			v, err := time.ParseDuration(text)
			if err != nil || v <= 0 {
				return errors.New("it must be a positive time, as 90s or 10m")
			}
			*field(r) = Duration(v)
			return nil
		},
		text: func(r *Recipe) string {
			return unlessZero(*field(r), func(d Duration) string { return time.Duration(d).String() })
		},
	}
}

// checkInputs returns an error if the text is not a set of inputs.
func checkInputs(text string) error {
	_, err := lstm.ParseInputs(text)
	return err
}

func checkTasks(text string) error {
	_, err := parseTasks(text)
	return err
}

// parseTasks reads the tasks of Also and ValidTask.
func parseTasks(text string) ([]tasks.Spec, error) {
	var specs []tasks.Spec
	for part := range strings.SplitSeq(text, "|") {
		s, err := tasks.Parse(strings.TrimSpace(part))
		if err == nil {
			err = s.Validate()
		}
		if err != nil {
			return nil, err
		}
		specs = append(specs, s)
	}
	return specs, nil
}

func checkContext(text string) error {
	_, err := lstm.ParseContext(text)
	return err
}

// seed is the kind of seeds. 0 is a seed.
func seed(field func(*Recipe) *uint64) kind {
	return kind{
		placeholder: "S",
		set: func(r *Recipe, text string) error {
			v, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return errors.New("it must be a whole number of at least 0, below 2^64")
			}
			*field(r) = v
			return nil
		},
		text: func(r *Recipe) string { return strconv.FormatUint(*field(r), 10) },
	}
}

// ruleAtRate is the kind of hand-designed rules with a learning rate, such as adam@0.01.
func ruleAtRate(field func(*Recipe) *string) kind {
	return words("RULE@F", func(text string) error { _, err := ParseRule(text); return err }, field)
}

// handDesigned is the default of Reference and Teacher.
const handDesigned = "adam@0.01"

// ParseRule returns the hand-designed rule of a text such as adam@0.01. It returns an error if the text is anything else.
func ParseRule(text string) (optimizer.Rule, error) {
	name, rate, _ := strings.Cut(text, "@")
	learningRate, err := strconv.ParseFloat(rate, 64)
	if err != nil || !slices.Contains(baselines.Names(), name) || learningRate == 0 {
		return nil, fmt.Errorf("it must be a rule and its learning rate, as %s; the rules are %s", handDesigned, strings.Join(baselines.Names(), ", "))
	}
	return baselines.New(name, learningRate)
}

func unlessZero[T comparable](v T, text func(T) string) string {
	if v == *new(T) {
		return ""
	}
	return text(v)
}

func unlessNil[T any](p *T, text func(T) string) string {
	if p == nil {
		return ""
	}
	return text(*p)
}

func float(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
