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

// Of returns the recipe that an optimizer says it was trained by: the one in its file, or what the command says in files that
// are older than recipes. Both may be anybody's. It is an error if there is neither, if they contradict each other, or if the
// recipe's limit is a time, since how far that goes depends on the machine.
func Of(p metaopt.Provenance) (Recipe, error) {
	if p.Recipe == "" && p.Command == "" {
		return Recipe{}, errors.New("recipe: the file does not say how it was trained: it has neither a recipe nor a command")
	}
	r, err := ParseCommand(p.Command)
	if p.Recipe != "" {
		told, toldErr := r, err
		if r, err = Parse([]byte(p.Recipe)); err == nil && (toldErr != nil || !reflect.DeepEqual(told.WithDefaults(), r.WithDefaults())) {
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

// Sign writes r into an optimizer's provenance, with all defaults: the recipe, its command and the name.
func (r Recipe) Sign(p *metaopt.Provenance) error {
	r = r.WithDefaults()
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.Name, p.Recipe, p.Command = r.Name, string(text), r.Command()
	return nil
}

// Finished returns the recipe that makes the same optimizer again, whatever ended its training: a limit of as many meta-steps as were
// validated, and the task and the network as they were, not as a name or a file says them.
func (r Recipe) Finished(task string, net lstm.Config, validated int) (Recipe, error) {
	r = r.WithDefaults()
	t, err := tasks.Parse(task)
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe: the training's task: %w", err)
	}
	r.Task, r.MetaSteps, r.Time = t, max(validated, 1), 0
	if r.Init != "" {
		r.Inputs, r.Anneal = net.Inputs.String(), &net.Anneal
	}
	return r, nil
}
