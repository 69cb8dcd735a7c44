/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store.h"

#include <systemd/sd-daemon.h>

#include "util.h"

/* systemd answers within milliseconds; one that does not is not waited for for ever. */
#define SYNC_USEC (10 * UINT64_C(1000000))

static struct received {
	struct received *next;
	int fd;
	char *name;
} * rest;

static struct received *received_free(struct received *received)
{
	if (received) {
		close_fd(received->fd);
		free(received->name);
	}
	free(received);
	return NULL;
}

bool store_is_there(void)
{
	return getenv("NOTIFY_SOCKET");
}

int store_receive(void)
{
	char **names = NULL;
	int n, r = 0;

	n = sd_listen_fds_with_names(true, &names);
	for (int i = 0; i < n; i++) {
		struct received *received = calloc(1, sizeof(*received));

		if (!received) {
			close_fd(SD_LISTEN_FDS_START + i);
			free(names[i]);
			r = -ENOMEM;
			continue;
		}
		received->fd = SD_LISTEN_FDS_START + i;
		received->name = names[i];
		received->next = rest;
		rest = received;
	}
	free(names);
	return n < 0 ? n : r;
}

int store_take(const char *name)
{
	for (struct received **p = &rest; *p; p = &(*p)->next) {
		struct received *received = *p;
		int fd;

		if (!streq(received->name, name))
			continue;
		fd = TAKE_FD(received->fd);
		*p = received->next;
		received_free(received);
		return fd;
	}
	return -ENOENT;
}

bool store_has(const char *name)
{
	for (const struct received *received = rest; received; received = received->next)
		if (streq(received->name, name))
			return true;
	return false;
}

/* FDPOLL: systemd would forget descriptors that poll() says are hung up. */
int store_keep(const char *name, int fd)
{
	char state[128];
	int r;

	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	r = sd_pid_notify_with_fds(0, false, state, &fd, 1);
	return r < 0 ? r : 0;
}

void store_drop(const char *name)
{
	char state[128];

	snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	(void)sd_notify(false, state); /* without systemd there is nothing to be closed */
}

int store_sync(void)
{
	int r = sd_notify_barrier(false, SYNC_USEC);

	return r < 0 ? r : 0;
}

unsigned int store_drop_rest(void)
{
	unsigned int n = 0;

	/* systemd first: who closes a device last waits for its reset. */
	for (struct received *received = rest; received; received = received->next, n++)
		store_drop(received->name);
	if (n > 0)
		(void)store_sync(); /* late is better than never */
	while (rest) {
		struct received *next = rest->next;

		received_free(rest);
		rest = next;
	}
	return n;
}
