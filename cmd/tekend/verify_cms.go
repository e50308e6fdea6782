//go:build validatecms

package main

import (
	"io"

	"tekend/validate"
)

func (c *verifyCmd) cms(p *program, sig io.ReaderAt, size int64, o validate.Options) (*validate.Report, error) {
	var data validate.Data
	if c.Detached != "" {
		f, info, err := openFile(c.Detached)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		data = validate.Data{Reader: f, Size: info.Size()}
	}
	return validate.CMS(p.ctx, sig, size, data, o)
}
