package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tekend/client"
)

const someServer = "http://127.0.0.1:1"

func begin(c *signCmd, server string, files []localFile) (*localJob, string, error) {
	var out bytes.Buffer
	job, err := c.begin(&program{stderr: &out}, server, files)
	return job, out.String(), err
}

// TestOneCommandAtATimeHasAJob: two would prepare the same files with two times, and keep what the service does not have.
func TestOneCommandAtATimeHasAJob(t *testing.T) {
	files := []localFile{{size: 7}}
	c := &signCmd{Job: filepath.Join(t.TempDir(), "job.json"), Level: "B-T", Format: "cades"}
	first, _, err := begin(c, someServer, files)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		if _, _, err := begin(c, someServer, files); exitOf(err) != exitNo || !strings.Contains(err.Error(), "at work") {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("when it was ordered")
	first.Preparations = []*client.Preparation{{Version: 1, Level: "B-T", Format: "cades", Size: 7}}
	if err := first.file.keep(first); err != nil {
		t.Fatal(err)
	}
	refused("when it was prepared")
	first.file.close()
	second, said, err := begin(c, someServer, files)
	if err != nil || second.Key != first.Key || len(second.Preparations) != 1 || !strings.Contains(said, "going on with") {
		t.Fatalf("%+v %s %v", second, said, err)
	}
	if err := second.file.remove(); err != nil {
		t.Error(err)
	}
	second.file.close()
	if all, err := os.ReadDir(filepath.Dir(c.Job)); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
	// Who began at the same moment finds that the place is taken.
	late := c.newJob(someServer, files)
	third, _, err := begin(c, someServer, files)
	if err != nil {
		t.Fatal(err)
	}
	defer third.file.close()
	if err := late.file.keep(late); exitOf(err) != exitUsage {
		t.Errorf("the job of another command was replaced: %v", err)
	}
	info, err := os.Stat(c.Job)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// TestJobsThatAreNotGoneOnWith: edited, moved, of something else.
func TestJobsThatAreNotGoneOnWith(t *testing.T) {
	good := localJob{Key: "k", Server: someServer, Level: "B-LTA", Format: "pades", Sizes: []int64{7},
		Preparations: []*client.Preparation{{Level: "B-LTA", Format: "pades", Size: 7}}}
	for name, one := range map[string]struct {
		change func(*localJob)
		mode   os.FileMode
		want   string
	}{
		"as it was":            {func(*localJob) {}, 0o600, ""},
		"of another server":    {func(j *localJob) { j.Server = "http://127.0.0.1:2" }, 0o600, "another server"},
		"of another level":     {func(j *localJob) { j.Level = "B-B" }, 0o600, "another level"},
		"a level made lower":   {func(j *localJob) { j.Preparations[0].Level = "B-B" }, 0o600, "not a job"},
		"another format in it": {func(j *localJob) { j.Preparations[0].Format = "cades" }, 0o600, "not a job"},
		"a size in it":         {func(j *localJob) { j.Preparations[0].Size = 8 }, 0o600, "not a job"},
		"of other files":       {func(j *localJob) { j.Sizes[0] = 8 }, 0o600, "other files"},
		"nothing prepared":     {func(j *localJob) { j.Preparations[0] = nil }, 0o600, "not a job"},
		"one too many":         {func(j *localJob) { j.Preparations = append(j.Preparations, j.Preparations[0]) }, 0o600, "not a job"},
		"no key":               {func(j *localJob) { j.Key = "" }, 0o600, "not a job"},
		"open to others":       {func(*localJob) {}, 0o640, "make it 0600"},
	} {
		b, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		var j localJob
		if err := json.Unmarshal(b, &j); err != nil {
			t.Fatal(err)
		}
		one.change(&j)
		if b, err = json.Marshal(&j); err != nil {
			t.Fatal(err)
		}
		c := &signCmd{Job: filepath.Join(t.TempDir(), "job.json"), Level: "B-LTA", Format: "pades"}
		if err := os.WriteFile(c.Job, b, one.mode); err != nil {
			t.Fatal(err)
		}
		job, _, err := begin(c, someServer, []localFile{{size: 7}})
		if one.want == "" {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			job.file.close()
		} else if exitOf(err) != exitUsage || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAJobThatIsOfNoMoreUseSaysSo: else the same answer would come for ever.
func TestAJobThatIsOfNoMoreUseSaysSo(t *testing.T) {
	c := &signCmd{Job: "job.json"}
	for code, want := range map[string]string{
		client.CodeEnded: "remove job.json", client.CodeCertificateNew: "remove job.json", client.CodeTooLarge: "remove job.json",
		client.CodeDocumentChanged: "put that back", client.CodeUnreachable: "",
	} {
		err := fmt.Errorf("a.pdf: %w", &client.Error{Code: code, Detail: "x"})
		shown := localError(err)
		got := c.aboutJob(err, shown)
		if exitOf(got) != exitOf(shown) || (want == "") != (got.Error() == shown.Error()) || !strings.Contains(got.Error(), want) {
			t.Errorf("%s: %v", code, got)
		}
	}
}
