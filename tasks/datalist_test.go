package tasks

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// Lists of tasks: names, JSON, flags and errors.
func TestListsOfTasks(t *testing.T) {
	for text, want := range map[string]string{
		"mnist,cifar10 units=8,16":         "mnist,cifar10 units=8,16 layers=1 activation=sigmoid batch=128",
		"mnist,fashion-mnist":              "mnist,fashion-mnist units=20 layers=1 activation=sigmoid batch=128",
		"mnist,mnist,digits":               "mnist,mnist,digits units=20 layers=1 activation=sigmoid batch=128",
		"mnist,digits image-size=28":       "mnist,digits units=20 layers=1 activation=sigmoid batch=128",
		"mnist,digits image-size=14,28":    "mnist,digits units=20 layers=1 activation=sigmoid batch=128 image-size=14,28",
		"cifar10,cifar10-grey batch=4":     "cifar10,cifar10-grey units=20 layers=1 activation=sigmoid batch=4",
		"cifar10-grey,mnist image-size=28": "cifar10-grey,mnist units=20 layers=1 activation=sigmoid batch=128 image-size=28", // not the default of both
	} {
		s, err := Parse(text)
		if err != nil || s.String() != want {
			t.Errorf("%s is named %q, %v, want %q", text, s, err, want)
		}
		if again := MustParse(want); again.String() != want || !again.Classifies() {
			t.Errorf("%q is read as %q", want, again)
		}
	}
	s := MustParse("mnist,cifar10 image-size=14")
	data, err := json.Marshal(s)
	if want := `{"name":["mnist","cifar10"],"image-size":[14]}`; err != nil || string(data) != want {
		t.Errorf("JSON %s, %v, want %s", data, err, want)
	}
	var read Spec
	if err := json.Unmarshal(data, &read); err != nil || read != s {
		t.Errorf("%s is read as %q, %v", data, read, err)
	}
	if got := strings.Join(s.Args(), " "); got != "--task mnist,cifar10 --units 20 --layers 1 --activation sigmoid --batch 128 --image-size 14" {
		t.Errorf("flags %s", got)
	}
	for text, want := range map[string]string{
		"mnist,": "no task is named", ",mnist": "no task is named", "mnist,minst": `no task "minst", did you mean "mnist"`,
		"mnist,quadratic":               "quadratic in a list of tasks: only classifiers can be mixed, on several data sets; take one task, or leave it out",
		"quadratic,quadratic":           "quadratic in a list of tasks",
		"cifar10,mnist image-size=8,30": "image-size 30 with the task mnist",
		"digits,mnist dims=3":           "dims does not apply to the task digits",
	} {
		if s, err := Parse(text); err == nil || s != (Spec{}) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, error %v, want %q", text, s, err, want)
		}
	}
	if _, err := New("mnist,digits", Options{}); err == nil {
		t.Error("New takes a list of tasks")
	}
	// A folder of data is an error only if no task of the list reads one.
	dir := t.TempDir()
	writeImages(t, dir+"/mnist", 28, false)
	if _, err := MustParse("digits,mnist image-size=8").Family(dir); err != nil {
		t.Error(err)
	}
	var option *OptionError
	if _, err := MustParse("digits,digits").Family(dir); !errors.As(err, &option) || option.Option != "data-dir" {
		t.Errorf("error %v", err)
	}
	if _, err := MustParse("mnist,fashion-mnist").Family(dir); err == nil || !strings.Contains(err.Error(), "metaopt data fetch fashion-mnist") {
		t.Errorf("error %v", err)
	}
}

// Families opens a data set once, and mixtures over it and others share its images and networks.
func TestListsShareData(t *testing.T) {
	dir := t.TempDir()
	writeIDX(t, dir+"/mnist", false)
	writeIDX(t, dir+"/fashion-mnist", false)
	families, err := Families(dir, MustParse("mnist units=2"), MustParse("fashion-mnist,mnist units=2,3 batch=5"))
	if err != nil {
		t.Fatal(err)
	}
	alone, drawn := families[0].(*Classifier), map[string]int{}
	for seed := range uint64(40) {
		c := sample(t, families[1], seed).(*classifier).family
		drawn[c.Name()]++
		if (c.data.name == "mnist") != (c.data == alone.data) || (c.data == alone.data) != (c.pool == alone.pool) {
			t.Fatalf("%s has its own data or networks", c.Name())
		}
	}
	if len(drawn) != 4 {
		t.Errorf("drawn: %v", drawn)
	}
}
