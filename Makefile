# tongyun: one page of targets over Meson and Ninja. `make help` lists them.
BUILD ?= build

.PHONY: all run test ci bench fuzz clean help

all: $(BUILD)/release/build.ninja
	@ninja -C $(BUILD)/release
