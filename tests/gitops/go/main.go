// Command verdicts tells what GitOps tools would say of ConfigBuilds.
//
// It reads one request as JSON from standard input, asks about every object in it, and writes one
// answer for each, in order. Many objects in one process, so that a table of states costs one start.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// request holds the objects and what is to be tried on them.
type request struct {
	Objects     []json.RawMessage `json:"objects"`
	Health      string            `json:"health"`
	Discovery   string            `json:"discovery"`
	Actions     map[string]string `json:"actions"`
	Expressions expressions       `json:"expressions"`
}

// outcome is a value, or why there is none.
type outcome struct {
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// answer is what was said of one object.
type answer struct {
	Health    outcome            `json:"health"`
	Discovery outcome            `json:"discovery"`
	Actions   map[string]outcome `json:"actions"`
	Flux      outcome            `json:"flux"`
	Kstatus   outcome            `json:"kstatus"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var asked request
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	evaluator, err := newEvaluator(asked.Expressions)
	if err != nil {
		return err
	}
	answers := make([]answer, 0, len(asked.Objects))
	for _, raw := range asked.Objects {
		object := map[string]any{}
		// Unlike encoding/json it keeps whole numbers whole, as Kubernetes clients do.
		if err := utiljson.Unmarshal(raw, &object); err != nil {
			return fmt.Errorf("object: %w", err)
		}
		said := answer{
			Health:    tell(runScript(asked.Health, object)),
			Discovery: tell(runScript(asked.Discovery, object)),
			Actions:   map[string]outcome{},
		}
		for name, script := range asked.Actions {
			said.Actions[name] = tell(runScript(script, object))
		}
		body := &unstructured.Unstructured{Object: object}
		said.Flux = tell(evaluator.evaluate(body))
		said.Kstatus = tell(kstatus(body))
		answers = append(answers, said)
	}
	return json.NewEncoder(out).Encode(answers)
}

func tell(value any, err error) outcome {
	if err != nil {
		return outcome{Error: err.Error()}
	}
	return outcome{Value: value}
}
