# `make demo` and `make test` need python3 (3.11 or newer) and make, nothing else: each makes .venv if it is missing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-fast test-long lint bench bench-logs bench-scale bench-detection bench-labels bench-segments bench-causes bench-database bench-web replay replay-compare chaos soak fuzz docs pins clean

.venv/.installed: constraints-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Monitor needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "this python3 comes without venv (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r constraints-dev.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: .venv/.installed
	$(BIN)/monitor demo

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Everything but what cannot be short.
test: lint
	$(BIN)/pytest -n 2 --dist worksteal -m "not long"

# Under a minute, while one works: no servers, no processes.
test-fast: lint
	$(BIN)/pytest -n 2 --dist worksteal -m "not long" tests/unit

# What `make test` leaves out: random kills, whole data sets, every size of a page, many examples, and whatever takes seven seconds or more.
test-long: .venv/.installed
	$(BIN)/pytest -n 2 --dist worksteal -m long --timeout 1200

bench: .venv/.installed
	$(BIN)/pytest -o addopts= -s tests/benchmarks/test_window.py

# What reading a log costs as it grows: a CSV file over a year, MariaDB's sample of ten million rows (MONITOR_BENCH_ROWS).
bench-logs: .venv/.installed
	$(BIN)/pytest -o addopts= -s tests/benchmarks/test_logs.py

# False alarms, detection, pages and estimates on the data sets beside the project (a quarter of an hour).
bench-detection: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -o addopts= -s tests/benchmarks/test_detection.py

# How much narrower the interval of 50 chosen labels is than that of 50 random ones, and what both cover (three minutes).
bench-labels: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -o addopts= -s tests/benchmarks/test_labels.py

# How often the search for weak segments finds planted ones (about six minutes).
bench-segments: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -o addopts= -s tests/benchmarks/test_segments.py

# Who is accused on real windows, and whether faults are named by what they are (a quarter of an hour).
bench-causes: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -o addopts= -s tests/benchmarks/test_causes.py

# 20 million metric values on PostgreSQL, 5 million on SQLite (MONITOR_BENCH_MILLIONS takes another number).
bench-database: .venv/.installed
	$(BIN)/pytest -o addopts= -s tests/benchmarks/test_report_database.py

# What a run costs as daemons are added: 1,000 monitors by 24 hourly windows on one PostgreSQL (MONITOR_BENCH_MONITORS, MONITOR_BENCH_HOURS take other numbers; an hour and a half each).
bench-scale: .venv/.installed
	$(BIN)/pytest -o addopts= -s tests/benchmarks/test_scale_out.py

# Ingestion, rows a second; page times with 500 monitors and 5 million metric values.
bench-web: .venv/.installed
	$(BIN)/pytest -o addopts= -s tests/benchmarks/test_web.py

# A year of hotel bookings, whose labels come over months: worked day by day, replayed, and caught up, to the same history.
replay: .venv/.installed
	MONITOR_LONG=1 $(BIN)/pytest -o addopts= -s -q tests/acceptance/test_history_is_the_same.py

# All six data sets replayed by the commit BASE and by the working tree, and every row of both histories compared; three to four minutes on two free cores,
# half of it where the history of BASE is in .replay-compare already. ARGS="--sets car_loan --tolerance 1e-9 --whole --output differences.jsonl" and others: ARGS=--help.
replay-compare: .venv/.installed
	$(BIN)/python -m tests.replay_compare $(BASE) $(ARGS)

# At least 200 kills of daemons, workers and servers (`make test-long` has 20; MONITOR_CHAOS_SEED=n replays one that failed), and everything else that machines,
# networks and databases do.
chaos: .venv/.installed
	MONITOR_LONG=1 $(BIN)/pytest -o addopts= -s -q -m long tests/chaos/test_chaos.py tests/chaos/test_storm.py

# Months of hourly monitors in one process, on SQLite and on PostgreSQL: memory, handles, threads, the database and the time of a round stay as they were.
soak: .venv/.installed
	MONITOR_SOAK_DAYS=$${MONITOR_SOAK_DAYS:-90} MONITOR_SOAK_MONITORS=$${MONITOR_SOAK_MONITORS:-20} $(BIN)/pytest -o addopts= -s -q -m long tests/chaos/test_soak.py

# The API, the pages and ingestion are sent for an hour what nobody thought of (MONITOR_FUZZ_MINUTES): any 5xx is a fault, and so is memory that grows by 200 MB.
fuzz: .venv/.installed
	MONITOR_FUZZ_MINUTES=$${MONITOR_FUZZ_MINUTES:-60} $(BIN)/pytest -o addopts= -s -q -m long tests/fuzz

.venv/.docs: .venv/.installed constraints-docs.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r constraints-docs.txt
	touch $@

# The reference pages from the code, then the site in site/: open site/index.html, no server is needed.
docs: .venv/.docs
	$(BIN)/python docs/make_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# New pins; the resolver is installed for this alone. No index address gets into the files.
pins: .venv/.installed
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o constraints.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --extra dev -c constraints.txt -o constraints-dev.txt
	echo mkdocs-material | $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header - -c constraints-dev.txt -o constraints-docs.txt

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .replay-compare site
