/* cmd/bar.c - see bar.h. */
#include "cmd/bar.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"

#define COLUMNS     80   /* of a terminal that does not say */
#define BAR_COLUMNS 20
#define DUE_NS      (NS_PER_S / 10)

static int terminal_columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
		: COLUMNS;
}

struct cmd_bar cmd_bar_open(void)
{
	return (struct cmd_bar){.terminal = isatty(STDERR_FILENO)};
}

bool cmd_bar_is_due(const struct cmd_bar *bar, bool last)
{
	return bar->terminal && (last || clock_monotonic_ns() - bar->drawn_ns >= DUE_NS);
}

void cmd_bar_draw(struct cmd_bar *bar, uint64_t done, uint64_t total, const char *text)
{
	const double share = total ? (double)done / (double)total : 1;
	char filled[BAR_COLUMNS + 1], line[256];

	if (!bar->terminal)
		return;
	for (int i = 0; i < BAR_COLUMNS; i++)
		filled[i] = i < (int)(share * BAR_COLUMNS) ? '#' : '.';
	filled[BAR_COLUMNS] = '\0';
	snprintf(line, sizeof(line), "[%s] %3d%%  %s", filled, (int)(share * 100), text);
	fprintf(stderr, "\r%.*s\x1B[K", terminal_columns() - 1, line);
	bar->shown = true;
	bar->drawn_ns = clock_monotonic_ns();
}

void cmd_bar_clear(struct cmd_bar *bar)
{
	if (bar->shown)
		fputs("\r\x1B[K", stderr);
	bar->shown = false;
}
