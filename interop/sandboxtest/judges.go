package sandboxtest

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Java is a command of one of our classes around EU DSS and veraPDF (interop/java). Set-up: make judges.
func Java(t testing.TB, class string, args ...string) *exec.Cmd {
	t.Helper()
	jars := filepath.Join(Root(t), "interop/java/target")
	return exec.Command("java", append([]string{"-cp", jars + "/judge-1.jar:" + jars + "/lib/*", "tekend." + class}, args...)...)
}

// Python is a command of one of our scripts around pyHanko (interop/python). Set-up: make judges.
func Python(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	root := Root(t)
	return exec.Command(filepath.Join(root, "interop/.venv/bin/python"), append([]string{filepath.Join(root, "interop/python", script)}, args...)...)
}
