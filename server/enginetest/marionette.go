package enginetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Marionette is a real Firefox, headless, with a profile of its own, driven
// through the protocol that Firefox's own tests use: JSON with its length in
// front, over TCP. It belongs to one test and one goroutine, and ends with the test.
// https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
type Marionette struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	next int
}

// Prefs are preferences of Firefox: strings, booleans and whole numbers by name.
type Prefs map[string]any

// commandWait bounds one command. Installing and updating add-ons goes through
// disk and network of a machine that is busy with other tests.
const commandWait = 60 * time.Second

// startWait bounds Firefox's start: a first start makes a profile.
const startWait = 90 * time.Second

// Firefox starts the FIREFOX engine with prefs beside those that keep it from
// talking to anybody but the test, and let unsigned add-ons be installed.
func Firefox(t testing.TB, prefs Prefs) *Marionette {
	t.Helper()
	binary := URL(t, "FIREFOX")
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	all := quiet()
	maps.Copy(all, prefs)
	if err := os.WriteFile(filepath.Join(profile, "user.js"), all.file(t), 0o600); err != nil {
		t.Fatal(err)
	}
	port := start(t, exec.Command(binary, "--marionette", "--headless", "--remote-allow-system-access", "--no-remote", "--profile", profile), home, profile)
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), commandWait)
	if err != nil {
		t.Fatalf("marionette: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	m := &Marionette{t: t, conn: conn, in: bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(commandWait))
	if _, err := m.receive(); err != nil { // it greets with its version
		t.Fatalf("marionette: %v", err)
	}
	m.Command("WebDriver:NewSession", map[string]any{}, nil)
	m.Command("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
	return m
}

// quiet are the preferences of every test: no sign of life to Mozilla's servers,
// no questions, no checks of signatures.
func quiet() Prefs {
	return Prefs{
		"marionette.port":                                 0,     // any free one
		"remote.prefs.recommended":                        false, // they would switch add-on updates off
		"app.normandy.enabled":                            false,
		"app.update.disabledForTesting":                   true,
		"browser.newtabpage.enabled":                      false,
		"browser.region.update.enabled":                   false,
		"browser.safebrowsing.downloads.remote.enabled":   false,
		"browser.shell.checkDefaultBrowser":               false,
		"browser.startup.homepage_override.mstone":        "ignore",
		"browser.startup.page":                            0,
		"datareporting.policy.dataSubmissionEnabled":      false,
		"extensions.autoDisableScopes":                    0,
		"extensions.enabledScopes":                        1, // the profile's add-ons alone, not those that the machine has
		"extensions.langpacks.signatures.required":        false,
		"extensions.systemAddon.update.enabled":           false,
		"extensions.update.autoUpdateDefault":             false,
		"extensions.update.enabled":                       false,
		"network.captive-portal-service.enabled":          false,
		"network.connectivity-service.enabled":            false,
		"services.settings.server":                        "data:,",
		"toolkit.telemetry.reportingpolicy.firstRun":      false,
		"xpinstall.signatures.required":                   false,
		"extensions.blocklist.enabled":                    false,
		"extensions.getAddons.cache.enabled":              false,
		"browser.safebrowsing.malware.enabled":            false,
		"browser.safebrowsing.phishing.enabled":           false,
		"browser.discovery.enabled":                       false,
		"messaging-system.rsexperimentloader.enabled":     false,
		"security.remote_settings.crlite_filters.enabled": false,
	}
}

// file renders user.js.
func (p Prefs) file(t testing.TB) []byte {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p)) {
		value, err := json.Marshal(p[name])
		if err != nil {
			t.Fatalf("preference %s: %v", name, err)
		}
		fmt.Fprintf(&b, "user_pref(%q, %s);\n", name, value)
	}
	return []byte(b.String())
}

// start runs Firefox until the end of the test, and returns the port that it
// listens on: it writes that into its profile, and prints it nowhere.
func start(t testing.TB, cmd *exec.Cmd, home, profile string) (port string) {
	t.Helper()
	cmd.Env = append(os.Environ(), "HOME="+home, "MOZ_CRASHREPORTER_DISABLE=1", "XDG_RUNTIME_DIR="+home)
	// A group of its own, so that its child processes end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer // read only after Wait
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("firefox: %v", err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(startWait)
	for {
		select {
		case <-look.C:
			if written, err := os.ReadFile(filepath.Join(profile, "MarionetteActivePort")); err == nil && len(written) > 0 {
				return strings.TrimSpace(string(written))
			}
		case <-ended:
			t.Fatalf("firefox ended before it listened:\n%s", said.String())
		case <-deadline:
			t.Fatalf("firefox did not listen within %v", startWait)
		}
	}
}

// Error is what Firefox answered instead of a result.
type Error struct {
	Kind    string `json:"error"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Kind + ": " + e.Message }

// Try sends a command and decodes its result into result (nil: not wanted). The
// error is an *Error if Firefox refused.
func (m *Marionette) Try(command string, parameters, result any) error {
	m.next++
	body, err := json.Marshal([]any{0, m.next, command, parameters})
	if err != nil {
		return err
	}
	m.conn.SetDeadline(time.Now().Add(commandWait))
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(body), body); err != nil {
		return err
	}
	answer, err := m.receive()
	if err != nil {
		return err
	}
	var parts [4]json.RawMessage // 1, the command's number, an error or null, a result or null
	if err := json.Unmarshal(answer, &parts); err != nil {
		return fmt.Errorf("answer %.200s: %w", answer, err)
	}
	if string(parts[2]) != "null" {
		failed := &Error{}
		if err := json.Unmarshal(parts[2], failed); err != nil {
			return err
		}
		return failed
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(parts[3], result)
}

// maxMessage bounds a message of Firefox, in bytes.
const maxMessage = 64 << 20

// receive reads one message.
func (m *Marionette) receive() ([]byte, error) {
	head, err := m.in.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
	if err != nil || n < 0 || n > maxMessage {
		return nil, fmt.Errorf("message length %.20q", head)
	}
	body := make([]byte, n)
	_, err = io.ReadFull(m.in, body)
	return body, err
}

// Command is Try that ends the test on an error.
func (m *Marionette) Command(command string, parameters, result any) {
	m.t.Helper()
	if err := m.Try(command, parameters, result); err != nil {
		m.t.Fatalf("firefox: %s: %v", command, err)
	}
}

// Install installs a package for good, as a user would, and returns its id.
func (m *Marionette) Install(path string) (id string, err error) {
	var got struct{ Value string }
	err = m.Try("Addon:Install", map[string]any{"path": path, "temporary": false}, &got)
	return got.Value, err
}

// Script runs the body of an async function with browser rights (the whole of
// Firefox's own API is there: AddonManager, Services…) and decodes what it
// returns into result. args are its arguments.
func (m *Marionette) Script(result any, body string, args ...any) {
	m.t.Helper()
	if args == nil {
		args = []any{}
	}
	script := "const { AddonManager } = ChromeUtils.importESModule('resource://gre/modules/AddonManager.sys.mjs');\n" +
		"return (async function() {\n" + body + "\n}).apply(null, arguments);"
	var got struct{ Value json.RawMessage }
	m.Command("WebDriver:ExecuteScript", map[string]any{"script": script, "args": args, "newSandbox": true, "scriptTimeout": commandWait.Milliseconds()}, &got)
	if result == nil {
		return
	}
	if err := json.Unmarshal(got.Value, result); err != nil {
		m.t.Fatalf("firefox: script returned %.200s: %v", got.Value, err)
	}
}

// Addon is an installed add-on.
type Addon struct {
	ID, Version, Name, Type string
	Description             string
	Active                  bool
}

// Addon returns the installed add-on of that id; an empty one if there is none.
func (m *Marionette) Addon(id string) Addon {
	m.t.Helper()
	var a Addon
	m.Script(&a, `const a = await AddonManager.getAddonByID(arguments[0]);
		return a ? {id: a.id, version: a.version, name: a.name, type: a.type, description: a.description, active: a.isActive} : {};`, id)
	return a
}

// Update asks for an update as the user does ("Check for Updates"), installs what
// is offered, and returns the version that is installed then. The error is
// Firefox's number for what went wrong (AddonManager.ERROR_…, UPDATE_STATUS_…).
func (m *Marionette) Update(id string) (version string, err error) {
	m.t.Helper()
	var got struct {
		Version string
		Error   string
	}
	m.Script(&got, `const addon = await AddonManager.getAddonByID(arguments[0]);
		if (!addon) { return {version: "", error: "not installed"}; }
		const found = await new Promise(resolve => {
			let install = null;
			addon.findUpdates({
				onUpdateAvailable(_, i) { install = i; },
				onUpdateFinished(_, status) { resolve({install, status}); },
			}, AddonManager.UPDATE_WHEN_USER_REQUESTED);
		});
		if (found.status) { return {version: addon.version, error: "update check " + found.status}; }
		if (!found.install) { return {version: addon.version, error: ""}; }
		try {
			await found.install.install();
		} catch (e) {
			return {version: addon.version, error: "install " + found.install.error};
		}
		return {version: (await AddonManager.getAddonByID(arguments[0])).version, error: ""};`, id)
	if got.Error != "" {
		err = fmt.Errorf("firefox: update of %s: %s", id, got.Error)
	}
	return got.Version, err
}

// Open loads a page in the current tab and waits for it.
func (m *Marionette) Open(url string) {
	m.t.Helper()
	m.Command("Marionette:SetContext", map[string]any{"value": "content"}, nil)
	m.Command("WebDriver:Navigate", map[string]any{"url": url}, nil)
	m.Command("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
}
