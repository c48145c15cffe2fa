// Reads manifests of Kubernetes from standard input as strictly as their types allow: a member that a type does not
// have, one that is there twice, and a value of another kind are errors, and so is a kind that is not listed here.
// Prints kind and name of each.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

type identity struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
}

func empty(of meta.TypeMeta) any {
	switch of.APIVersion + " " + of.Kind {
	case "apps/v1 StatefulSet":
		return &apps.StatefulSet{}
	case "monitoring.coreos.com/v1 PrometheusRule":
		return &monitoring.PrometheusRule{}
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return &monitoring.ServiceMonitor{}
	case "networking.k8s.io/v1 NetworkPolicy":
		return &networking.NetworkPolicy{}
	case "policy/v1 PodDisruptionBudget":
		return &policy.PodDisruptionBudget{}
	case "v1 ConfigMap":
		return &core.ConfigMap{}
	case "v1 Service":
		return &core.Service{}
	}
	return nil
}

func main() {
	documents := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = read(document)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func read(document []byte) error {
	var what identity
	if err := strict.Unmarshal(document, &what); err != nil {
		return err
	}
	object := empty(what.TypeMeta)
	if object == nil {
		return fmt.Errorf("nobody here knows %s %s", what.APIVersion, what.Kind)
	}
	if err := strict.UnmarshalStrict(document, object); err != nil {
		return fmt.Errorf("%s %s: %w", what.Kind, what.Name, err)
	}
	fmt.Println(what.Kind, what.Name)
	return nil
}
