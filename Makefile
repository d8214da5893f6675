# Everything runs in .venv, which the first command that needs it makes:
# Python 3.10 or newer with its venv module is all that must be there.
# Another Python than python3: make test PYTHON=python3.12

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin

.PHONY: help demo test mutants lint format bench gallery clean
.NOTPARALLEL:

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/demos.stamp ## train a variational autoencoder; its pictures go to out/vae/
	@$(BIN)/python -m demos.vae

# Two test workers share the cores: one thread each for matrix products. The tests of a file stay
# together, for many share one run of a demo.
test: lint ## check everything: lint, then all tests
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# A sample of it is part of the tests.
mutants: $(VENV)/test.stamp ## plant 7,700 wrong derivatives and check 25,000 right ones: minutes
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants

lint: $(VENV)/test.stamp ## check style, format and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: $(VENV)/test.stamp ## put the source into its standard format
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

bench: $(VENV)/demos.stamp $(VENV)/fast.stamp ## measure the speed
	@$(BIN)/python -m demos.benchmark

GALLERY = autoencoder conv_arithmetic image_filters conv_autoencoder feature_visualisation \
	gaussian elbo vae_objectives vae_faces errata gradcheck \
	manifold autoencoder_zoo gan_2d dcgan failures data_parallel
gallery: demo ## make the README's pictures anew
	for name in $(GALLERY); do $(BIN)/python -m demos.$$name || exit 1; done
	mkdir -p demos/gallery
	cp out/vae/dense-glyphs/overview.png demos/gallery/vae.png
	cp out/vae/dense-glyphs/forming.gif demos/gallery/vae_forming.gif
	cp out/vae/dense-glyphs/graph.svg demos/gallery/vae_graph.svg
	cp out/autoencoder/784-128-64-12-3/first_and_last.png demos/gallery/autoencoder.png
	cp out/conv_arithmetic/R13/transposed.gif demos/gallery/transposed_convolution.gif
	cp out/image_filters/checkerboard.png demos/gallery/checkerboard.png
	cp out/conv_autoencoder/reconstructions.png demos/gallery/conv_autoencoder.png
	cp out/feature_visualisation/ways.png demos/gallery/feature_visualisation.png
	cp out/gaussian/weight_and_height.png demos/gallery/gaussian.png
	cp out/elbo/training.png demos/gallery/elbo.png
	cp out/vae_objectives/traversals.png demos/gallery/vae_objectives.png
	cp out/errata/sigma.png demos/gallery/errata.png
	cp out/vae_faces/faces.png demos/gallery/vae_faces.png
	cp out/gradcheck/flipped_kernel.png demos/gallery/flipped_kernel.png
	cp out/manifold/spiral.gif demos/gallery/manifold.gif
	cp out/autoencoder_zoo/reconstructions.png demos/gallery/autoencoder_zoo.png
	cp out/gan_2d/ring/games.gif demos/gallery/gan_2d.gif
	cp out/dcgan/glyphs/overview.png demos/gallery/dcgan.png
	cp out/dcgan/glyphs/forming.gif demos/gallery/dcgan_forming.gif
	cp out/failures/sheet.png demos/gallery/failures.png
	cp out/data_parallel/one_step.png demos/gallery/data_parallel.png

clean: ## remove .venv and what the tools leave; pictures in out/ stay
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# demos.stamp, fast.stamp and test.stamp say that the extra of that name is installed.
# Only a change of these two files can change what an extra needs.
$(VENV)/%.stamp: setup.cfg pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	    echo 'minigrad needs Python 3.10 or newer with its venv module, and "$(PYTHON)" is not that.'; \
	    echo 'On Debian and Ubuntu the module is the package python3-venv.'; \
	    echo 'To name another Python: make $(MAKECMDGOALS) PYTHON=python3.12'; \
	    exit 1; }; \
	  $(PYTHON) -m venv --clear $(VENV); }
	@echo 'installing minigrad[$*] into $(VENV), this once'
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[$*]'
	@touch $@
