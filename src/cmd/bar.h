/* cmd/bar.h - a progress bar on standard error, where that is a terminal.
 *
 *	struct cmd_bar bar = cmd_bar_open();
 *	if (cmd_bar_is_due(&bar, done == total))
 *		cmd_bar_draw(&bar, done, total, "12 of 40 files");
 *	cmd_bar_clear(&bar);
 */
#ifndef CMD_BAR_H
#define CMD_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct cmd_bar {
	bool terminal;       /* standard error is one; elsewhere nothing is drawn */
	bool shown;          /* a bar stands there now */
	int64_t drawn_ns;    /* when it was drawn last */
};

struct cmd_bar cmd_bar_open(void);

/* For who has more to say than can be read: ten times a second, and the last time. */
bool cmd_bar_is_due(const struct cmd_bar *bar, bool last);
void cmd_bar_draw(struct cmd_bar *bar, uint64_t done, uint64_t total, const char *text);
/* The line is empty again. */
void cmd_bar_clear(struct cmd_bar *bar);

#endif
