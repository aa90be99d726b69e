package recipe

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/tasks"
)

// Of returns the recipe in an optimizer's provenance. In a file older than recipes it is read from the command. Both may
// come from a stranger. It is an error if there is neither, if they contradict each other, or if the limit is a time,
// because the number of meta-steps then depended on the machine.
func Of(p metaopt.Provenance) (Recipe, error) {
	if p.Recipe == "" && p.Command == "" {
		return Recipe{}, errors.New("recipe: the file does not say how it was trained: it has neither a recipe nor a command")
	}
	r, err := ParseCommand(p.Command)
	if p.Recipe != "" {
		command, commandErr := r, err
		if r, err = Parse([]byte(p.Recipe)); err == nil && (commandErr != nil || !reflect.DeepEqual(command.WithDefaults(), r.WithDefaults())) {
			err = errors.New("recipe: the file's recipe and its command say different trainings")
		}
	}
	if err == nil {
		err = r.Validate()
	}
	if err == nil && r.MetaSteps == 0 {
		err = errors.New("recipe: the file's training has no number of meta-steps: how far it went depended on the machine")
	}
	if err != nil {
		return Recipe{}, err
	}
	return r, nil
}

// Sign writes the recipe with all its defaults, its command, and the name into an optimizer's provenance.
func (r Recipe) Sign(p *metaopt.Provenance) error {
	r = r.WithDefaults()
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.Name, p.Recipe, p.Command = r.Name, string(text), r.Command()
	return nil
}

// Finished returns the recipe that trains the same optimizer again, whatever ended its training. Its limit is the number of
// meta-steps up to the last validation. It holds the actual task and, for a training from Init, the actual inputs of the
// network, because a name or a file could change its meaning later.
func (r Recipe) Finished(task string, net lstm.Config, validated int) (Recipe, error) {
	r = r.WithDefaults()
	if r.Also == "" && r.ValidTask == "" { // else task is the tasks of validations
		t, err := tasks.Parse(task)
		if err != nil {
			return Recipe{}, fmt.Errorf("recipe: the training's task: %w", err)
		}
		r.Task = t
	}
	r.MetaSteps, r.Time = max(validated, 1), 0
	if r.Init != "" {
		r.Inputs, r.Anneal = net.Inputs.String(), &net.Anneal
	}
	return r, nil
}
