package main

import (
	"context"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// expressions are those of a Kustomization's healthCheckExprs.
type expressions struct {
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

// evaluator is Flux's own: the one that its kustomize-controller and helm-controller use.
type evaluator struct {
	flux *cel.StatusEvaluator
}

func newEvaluator(given expressions) (*evaluator, error) {
	flux, err := cel.NewStatusEvaluator(&kustomize.HealthCheckExpressions{
		InProgress: given.InProgress,
		Failed:     given.Failed,
		Current:    given.Current,
	})
	return &evaluator{flux: flux}, err
}

func (e *evaluator) evaluate(object *unstructured.Unstructured) (any, error) {
	result, err := e.flux.Evaluate(context.Background(), object)
	if err != nil {
		return nil, err
	}
	return result.Status, nil
}

// kstatus tells what Flux says of an object for which it has no expressions.
func kstatus(object *unstructured.Unstructured) (any, error) {
	result, err := status.Compute(object)
	if err != nil {
		return nil, err
	}
	return result.Status, nil
}
