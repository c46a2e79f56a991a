package cmd_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose reads docker-compose.yml as `docker compose config` does, with its
// library, which checks it against the specification's schema.
func compose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../docker-compose.yml"}, cli.WithName("addons"), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return project
}

func TestComposeHasEveryPart(t *testing.T) {
	project := compose(t)
	for _, name := range []string{"site", "worker", "relay", "mysql", "memcached", "redis", "rabbitmq", "elasticsearch", "graphite", "prometheus", "alertmanager", "grafana"} {
		if _, err := project.GetService(name); err != nil {
			t.Error(err)
		}
	}
}

func TestComposeNamesOnlyWhatExists(t *testing.T) {
	project := compose(t)
	for _, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts %s: %v", s.Name, v.Source, err)
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, "Dockerfile")); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
}

// ours are the services that run this repository's programs, and which.
func ours(project *types.Project) map[string][]string {
	programs := map[string][]string{}
	for _, s := range project.Services {
		switch {
		case s.Image != "addons":
		case len(s.Entrypoint) > 0 && strings.HasSuffix(s.Entrypoint[0], "statsd-relay"):
			programs[s.Name] = append([]string{"./cmd/statsd-relay"}, s.Command...)
		default:
			programs[s.Name] = append([]string{"./cmd/addons"}, s.Command...)
		}
	}
	return programs
}

// help is what a command says of its flags, from the golden file that its own
// test keeps.
func help(t *testing.T, program string, sub ...string) string {
	t.Helper()
	path := filepath.Join("..", program, "testdata", "help.txt")
	if len(sub) > 0 {
		path = filepath.Join("..", program, "testdata", "help", sub[0]+".txt")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestComposeNamesOnlyFlagsAndVariablesThatExist(t *testing.T) {
	project := compose(t)
	for name, command := range ours(project) {
		var sub []string
		if len(command) > 1 && !strings.HasPrefix(command[1], "-") {
			sub = command[1:2]
		}
		text := help(t, command[0], sub...)
		for _, word := range command[1:] {
			if strings.HasPrefix(word, "--") && !strings.Contains(text, word+"=") && !strings.Contains(text, word+" ") {
				t.Errorf("%s: %s has no flag %s", name, command[0], word)
			}
		}
		service, err := project.GetService(name)
		if err != nil {
			t.Fatal(err)
		}
		for variable := range service.Environment {
			// The load service shares the site's environment and needs only some of it.
			if strings.HasPrefix(variable, "ADDONS_") && name == "site" && !strings.Contains(text, "$"+variable) {
				t.Errorf("%s: %s reads no variable %s", name, command[0], variable)
			}
		}
	}
}

func TestComposePortsAreThoseThatTheProgramsListenOn(t *testing.T) {
	project := compose(t)
	address := regexp.MustCompile(`(?:^|//[a-z]+|[a-z]+):(\d{4,5})(?:/|$)`)
	listens := map[string][]string{ // of images that are not ours, by their documentation
		"mysql": {"3306"}, "memcached": {"11211"}, "redis": {"6379"}, "rabbitmq": {"5672"}, "elasticsearch": {"9200"},
		"graphite": {"2003", "8080"}, "prometheus": {"9090"}, "alertmanager": {"9093"}, "grafana": {"3000"},
	}
	for name, command := range ours(project) {
		for _, word := range command {
			if strings.HasPrefix(word, ":") {
				listens[name] = append(listens[name], word[1:])
			}
		}
	}
	for _, s := range project.Services {
		for _, p := range s.Ports {
			if port := address.FindStringSubmatch("x:" + p.Published); !slices.Contains(listens[s.Name], port[1]) {
				t.Errorf("%s publishes port %s, but listens on %v", s.Name, p.Published, listens[s.Name])
			}
		}
		words := slices.Clone([]string(s.Command))
		for _, v := range s.Environment {
			if v != nil {
				words = append(words, *v)
			}
		}
		for _, word := range words {
			for other, ports := range listens {
				_, rest, found := strings.Cut(word, other+":")
				if !found || !strings.Contains(word, "//") && !strings.HasPrefix(word, other) {
					continue
				}
				if port := regexp.MustCompile(`^\d+`).FindString(rest); port != "" && !slices.Contains(ports, port) {
					t.Errorf("%s asks %s at port %s, but it listens on %v", s.Name, other, port, ports)
				}
			}
		}
	}
}

func TestNothingRunsAsRootThatIsOurs(t *testing.T) {
	project := compose(t)
	for name := range ours(project) {
		s, err := project.GetService(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.User == "" || strings.HasPrefix(s.User, "0") || strings.HasPrefix(s.User, "root") {
			t.Errorf("%s runs as user %q", name, s.User)
		}
	}
}
