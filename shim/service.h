/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What systemd is about to do with this service. */
#ifndef SHIM_SERVICE_H
#define SHIM_SERVICE_H

#include <stdbool.h>

/*
 * Whether the service is stopped in order to be started again, by "systemctl restart" for
 * example. Where systemd cannot be asked the answer is yes: what is left then ends with
 * systemd's copies of the descriptors, if the service stays down.
 */
bool service_restarts(void);

#endif
