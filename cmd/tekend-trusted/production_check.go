package main

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"tekend/production"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Read a role's or the ceremony's file, list every unsafe setting, and stop."`
}

type configCheckCmd struct {
	Config string `required:"" help:"The file of sam, ca or tsa, or of the ceremony (YAML)." type:"existingfile"`
}

// Run lists what production refuses. In a sandbox's file that is for information: exit code 0.
func (c configCheckCmd) Run(p *program) error {
	found, real, err := c.look()
	if err != nil {
		return err
	}
	if real {
		if err := found.Err(c.Config); err != nil {
			return no("%w", err)
		}
		_, err := fmt.Fprintf(p.stdout, "%s: production, and no setting is unsafe\n", c.Config)
		return err
	}
	if _, err := fmt.Fprintf(p.stdout, "%s: a sandbox; production would refuse %d settings\n", c.Config, len(found.Found)); err != nil {
		return err
	}
	for _, f := range found.Found {
		if _, err := fmt.Fprintln(p.stdout, " ", f); err != nil {
			return err
		}
	}
	return nil
}

// look finds out whose file it is and judges it. As root it becomes the role's user before, whose files these are.
func (c configCheckCmd) look() (*production.List, bool, error) {
	var kind struct {
		lockedFile `yaml:",inline"`
		PKIDir     string `yaml:"pki_dir"`
	}
	b, err := readShort(c.Config)
	if err != nil {
		return nil, false, usage("%w", err)
	}
	if err := yaml.Unmarshal(b, &kind); err != nil {
		return nil, false, usage("%s: %w", c.Config, err)
	}
	if kind.PKIDir != "" {
		cfg, err := readCeremony(c.Config)
		if err != nil {
			return nil, false, err
		}
		return cfg.unsafe(c.Config, user()), cfg.Production, nil
	}
	if kind.SAM.DB+kind.CA.DB+kind.TSA.DB == "" {
		return nil, false, usage("%s is the file of no role and of no ceremony", c.Config)
	}
	if kind.Fence.File != "" {
		_ = become(kind.Fence.File) // a role that never ran has no fence yet: then its files are not given away either
	}
	all, err := roleSettings(kind.role(), c.Config)
	if err != nil {
		return nil, false, err
	}
	return all.unsafe(), all.section.Production, nil
}

// roleSettings reads a role's file as the role does.
func roleSettings(role, path string) (common, error) {
	switch role {
	case "sam":
		var f samFile
		err := readYAML(path, &f)
		return f.common(path, user()), err
	case "ca":
		var f caFile
		err := readYAML(path, &f)
		return f.common(path, user()), err
	}
	var f tsaFile
	err := readYAML(path, &f)
	return f.common(path, user()), err
}
