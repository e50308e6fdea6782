# Targets that people and scripts rely on: see README.md.
GO       ?= go
TAGS      = nomsgpack,netgo,osusergo
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   = -s -w -X main.version=$(VERSION)
SANDBOX  ?= .sandbox
FUZZTIME ?= 30s

.PHONY: evidence matrix thousand model race-detector reproducible build demo demo-stop test test-go race test-interop test-sweep sweep test-browser judge trusted-list bench fuzz judges
build:
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/tekend ./cmd/tekend
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/tekend-witness ./cmd/tekend-witness
	CGO_ENABLED=1 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/tekend-trusted ./cmd/tekend-trusted

demo:
	@scripts/install demo
	@$(MAKE) --no-print-directory build
	@scripts/demo $(SANDBOX)

demo-stop:
	@scripts/demo-stop $(SANDBOX)

test:
	@scripts/install test
	@scripts/test

test-go:
	$(GO) vet ./...
	$(GO) vet -tags interop,sweep,browser ./interop/... ./itsme/ ./store/
	@TEKEND_TRIES=1000 TEKEND_ROUNDS=200 scripts/figures \
		'^Test(OwnedFront|TamperingAtRandom|SequencersRace|Model|ManyCallersTwoInstances|LostReplyOfCommit|UsersHave)' ./...

# What happens at the same time, and what is lost on the way, some thousand times: about an hour.
ROUNDS ?= 10000
LOST   ?= 1000
race:
	TEKEND_ROUNDS=$(ROUNDS) $(GO) test -count=1 -v -timeout 240m -run 'TestManyCallersTwoInstances' ./sam/activation
	TEKEND_ROUNDS=$(LOST) $(GO) test -count=1 -v -timeout 60m -run 'TestLostReplyOfCommit' ./sam/activation ./db

# Sequences of what people, providers, restarts and clocks can do, against a model: a day or two for a million steps.
STEPS ?= 1000000
model:
	$(GO) test -count=1 -v -timeout 96h -run TestModel ./signer -model-steps $(STEPS)

# The parts in which much happens at once, under the race detector.
race-detector:
	$(GO) test -race -count=1 -timeout 60m ./db ./audit ./witness ./fence ./store ./wire ./hsm ./sam/activation ./signer

reproducible:
	@scripts/reproducible

test-interop: build judges
	$(GO) test -count=1 -v -tags interop -timeout 20m ./interop/ ./interop/after/ ./interop/cades/ ./interop/client/ ./interop/deploy/ ./interop/evidence/ ./interop/matrix/ ./interop/program/ ./interop/qualified/ ./interop/twins/ ./itsme/ ./store/

# Both verifiers of evidence on 1000 bundles and every mutant; test-interop takes 200.
evidence: judges
	$(GO) test -count=1 -v -tags interop -timeout 40m -run TestVerifiersAgree ./interop/evidence/ -args -bundles 1000

# Every document of testdata/pdf at every level with every algorithm; test-interop takes every pair of these.
matrix: build judges
	TEKEND_MATRIX=full $(GO) test -count=1 -v -tags interop -timeout 60m -run TestMatrix ./interop/matrix/

# DOCUMENTS generated documents at mixed levels, judged by all; test-interop takes 30.
DOCUMENTS ?= 1000
thousand: build judges
	$(GO) test -count=1 -v -tags interop -timeout 120m -run TestThousand ./interop/matrix/ -args -documents $(DOCUMENTS)

test-sweep: build
	$(GO) test -count=1 -v -tags sweep -timeout 20m ./interop/sweep/...

# Every system call of a signature, not only a sample: more than an hour. TEKEND_MOST=n: at most n of one role and fault.
sweep: build
	TEKEND_SWEEP=full $(GO) test -count=1 -v -tags sweep -timeout 180m -run 'TestEachSystemCall|TestAFailedFsync' ./interop/sweep/

test-browser: build
	$(GO) test -count=1 -v -tags browser -timeout 10m ./interop/browser/... ./interop/viewer/

# The outside judges that are not Debian packages.
judges: interop/java/target/judge-1.jar interop/.venv/ready interop/.bin/versitygw itsme/testdata/oidc-provider/node_modules/.ready
interop/java/target/judge-1.jar: interop/java/pom.xml $(wildcard interop/java/src/main/java/tekend/*.java)
	mvn -q -B -f interop/java/pom.xml package
interop/.venv/ready: interop/python/requirements.txt
	python3 -m venv interop/.venv
	interop/.venv/bin/pip install -q --disable-pip-version-check -r interop/python/requirements.txt
	touch $@

# The S3 server that the store is tested against.
interop/.bin/versitygw: Makefile
	GOBIN=$(CURDIR)/interop/.bin $(GO) install github.com/versity/versitygw/cmd/versitygw@v1.8.0
	touch $@

itsme/testdata/oidc-provider/node_modules/.ready: itsme/testdata/oidc-provider/package-lock.json
	cd $(dir $<) && npm ci --silent --ignore-scripts
	touch $@

# The sandbox's trusted list, made and signed by EU DSS: D/pki/trusted-list.xml.
trusted-list: interop/java/target/judge-1.jar
	@java -cp 'interop/java/target/judge-1.jar:interop/java/target/lib/*' tekend.TrustedList sandbox $(SANDBOX)

judge: build judges
	@test -n "$(F)" || { echo "usage: make judge F=file.pdf" >&2; exit 2; }
	@interop/judge $(SANDBOX) "$(F)"

bench: build
	$(GO) run ./bench $(BENCH)

fuzz:
	@scripts/fuzz $(FUZZTIME)
