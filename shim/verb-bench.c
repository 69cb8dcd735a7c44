/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <signal.h>
#include <sys/stat.h>

#include "bench.h"
#include "json.h"
#include "svg.h"
#include "table.h"
#include "verb.h"

static const char usage[] =
	"Usage: vfio-alias bench BDF BAR --yes-write [--offset N] [--length N] [--svg FILE] [--json]\n"
	"\n"
	"Stores to a BAR, uncached by resourceN and write-combining by resourceN_wc, by way of\n"
	"storing and size of a block. It overwrites the first 1M that each maps, or the range:\n"
	"\n"
	"      --yes-write  that may be overwritten, over and over; registers take effect\n"
	"      --offset N   where the range begins in the BAR; a multiple of 64, as the length\n"
	"      --length N   its length; numbers with 0x, K, M, G\n"
	"      --svg FILE   a plot, too\n"
	"      --json       for programs\n"
	"  -h, --help       show this\n";

struct side {
	struct bench_place place;
	const char *why_not; /* NULL if it was measured */
	char *message;	     /* what why_not is of, if it had to be made */
	bench_rates *rates;
	bool restored;
};

struct task {
	char bdf[PCI_BDF_SIZE];
	unsigned int bar;
	uint64_t offset, length;
	const char *svg;
	bool yes_write, json;
	bool changed; /* something could not be restored */
	int sysfs_fd;
	struct side sides[BENCH_SIDES];
};

static void task_clear(struct task *task)
{
	close_fd(task->sysfs_fd);
	for (size_t i = 0; i < BENCH_SIDES; i++) {
		free(task->sides[i].rates);
		free(task->sides[i].message);
	}
}

/* ---- what is printed ---- */

static const char *const headings[] = { "STORES", "BLOCK", "UC MB/s", "WC MB/s", "WC/UC" };
enum { COLUMN_WAY, COLUMN_BLOCK, COLUMN_UC, COLUMN_WC, COLUMN_RATIO };

/* "-" for what was not measured */
static void format_number(char *buffer, size_t size, double value)
{
	if (value > 0)
		snprintf(buffer, size, value < 10 ? "%.2f" : "%.0f", value);
	else
		snprintf(buffer, size, "-");
}

static int add_row(struct libscols_table *table, const struct task *task, size_t way, size_t block)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	double uc = task->sides[BENCH_UC].rates[way][block];
	double wc = task->sides[BENCH_WC].rates[way][block];
	char size[FORMAT_SIZE_MAX], number[32];
	int r;

	if (!line)
		return -ENOMEM;
	r = scols_line_set_data(line, COLUMN_WAY, stores_ways[way].name);
	if (r == 0)
		r = scols_line_set_data(line, COLUMN_BLOCK, format_size(size, BENCH_BLOCK(block)));
	format_number(number, sizeof(number), uc / 1e6);
	if (r == 0)
		r = scols_line_set_data(line, COLUMN_UC, number);
	format_number(number, sizeof(number), wc / 1e6);
	if (r == 0)
		r = scols_line_set_data(line, COLUMN_WC, number);
	format_number(number, sizeof(number), uc > 0 ? wc / uc : 0);
	if (r == 0)
		r = scols_line_set_data(line, COLUMN_RATIO, number);
	return r;
}

static bool was_measured(const struct task *task, size_t way, size_t block)
{
	return task->sides[BENCH_UC].rates[way][block] > 0 ||
	       task->sides[BENCH_WC].rates[way][block] > 0;
}

static int print_table(const struct task *task)
{
	_cleanup_table_ struct libscols_table *table = scols_new_table();

	if (!table)
		return -ENOMEM;
	scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
		if (!scols_table_new_column(table, headings[i], 0,
					    i == COLUMN_WAY ? 0 : SCOLS_FL_RIGHT))
			return -ENOMEM;
	for (size_t i = 0; i < stores_n_ways; i++)
		for (size_t j = 0; j < BENCH_BLOCKS; j++) {
			int r = was_measured(task, i, j) ? add_row(table, task, i, j) : 0;

			if (r < 0)
				return r;
		}
	return scols_print_table(table);
}

static int add_rate(struct json_object *array, const char *stores, uint64_t block, double rate)
{
	struct json_object *object = json_object_new_object();
	int r;

	r = json_append(array, object);
	if (r == 0)
		r = json_add_string(object, "stores", stores);
	if (r == 0)
		r = json_add(object, "block", json_object_new_uint64(block));
	if (r == 0)
		r = json_add(object, "bytes_per_second", json_object_new_int64((int64_t)rate));
	return r;
}

static int add_side(struct json_object *parent, enum bench_side i, const struct side *side)
{
	struct json_object *object = json_object_new_object();
	struct json_object *array;

	if (json_add(parent, bench_side_names[i], object) < 0 ||
	    json_add_string(object, "file", side->place.file) < 0 ||
	    json_add_string(object, "why_not", side->why_not) < 0 ||
	    json_add(object, "offset", json_object_new_uint64(side->place.offset)) < 0 ||
	    json_add(object, "length", json_object_new_uint64(side->place.length)) < 0 ||
	    json_add(object, "restored", json_object_new_boolean(side->restored)) < 0)
		return -ENOMEM;
	array = json_object_new_array();
	if (json_add(object, "rates", array) < 0)
		return -ENOMEM;
	for (size_t j = 0; j < stores_n_ways * BENCH_BLOCKS; j++) {
		double rate = side->rates[j / BENCH_BLOCKS][j % BENCH_BLOCKS];

		if (rate > 0 && add_rate(array, stores_ways[j / BENCH_BLOCKS].name,
					 BENCH_BLOCK(j % BENCH_BLOCKS), rate) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* NULL without memory. */
static struct json_object *to_json(const struct task *task)
{
	_cleanup_json_ struct json_object *object = json_object_new_object();

	if (json_add_string(object, "bdf", task->bdf) < 0 ||
	    json_add(object, "bar", json_object_new_uint64(task->bar)) < 0)
		return NULL;
	for (unsigned int i = 0; i < BENCH_SIDES; i++)
		if (add_side(object, (enum bench_side)i, &task->sides[i]) < 0)
			return NULL;
	return TAKE_PTR(object);
}

static const char *tick_block(double value, char *buffer, size_t size)
{
	char text[FORMAT_SIZE_MAX];

	snprintf(buffer, size, "%s", format_size(text, (uint64_t)value));
	return buffer;
}

static const char *tick_rate(double value, char *buffer, size_t size)
{
	static const char *const units[] = { "B/s", "kB/s", "MB/s", "GB/s", "TB/s" };
	size_t i = 0;

	for (; value >= 999.5 && i < ARRAY_SIZE(units) - 1; i++)
		value /= 1000;
	snprintf(buffer, size, "%.0f %s", value, units[i]);
	return buffer;
}

/* Returns 0 and the text of the plot, to be freed, or -errno. */
static int format_plot(const struct task *task, char **ret)
{
	const size_t n = BENCH_SIDES * stores_n_ways;
	_cleanup_free_ struct svg_curve *curves = calloc(n, sizeof(*curves));
	_cleanup_free_ struct svg_point *points = calloc(n * BENCH_BLOCKS, sizeof(*points));
	_cleanup_free_ char *names = calloc(n, 32), *title = NULL;
	struct svg_plot plot = {
		.x_label = "bytes of a block",
		.y_label = "bytes a second",
		.x_base = 4,
		.y_base = 10,
		.x_tick = tick_block,
		.y_tick = tick_rate,
		.curves = curves,
	};

	if (!curves || !points || !names)
		return -ENOMEM;
	if (asprintf(&title, "Stores to BAR %u of %s", task->bar, task->bdf) < 0) {
		title = NULL;
		return -ENOMEM;
	}
	plot.title = title;
	for (size_t i = 0; i < n; i++) {
		const struct side *side = &task->sides[i / stores_n_ways];
		struct svg_curve *curve = &curves[plot.n_curves];
		struct svg_point *own = &points[i * BENCH_BLOCKS];
		size_t way = i % stores_n_ways;

		*curve = (struct svg_curve){
			.name = names + i * 32,
			.colour = (unsigned int)way,
			.dashed = i / stores_n_ways == BENCH_UC,
			.points = own,
		};
		snprintf(names + i * 32, 32, "%s, %s", bench_side_names[i / stores_n_ways],
			 stores_ways[way].name);
		for (size_t j = 0; j < BENCH_BLOCKS; j++)
			if (side->rates[way][j] > 0)
				own[curve->n_points++] = (struct svg_point){ (double)BENCH_BLOCK(j),
									     side->rates[way][j] };
		if (curve->n_points > 0)
			plot.n_curves++;
	}
	return svg_format(&plot, ret);
}

/* ---- what is done ---- */

static const char *progress_side; /* NULL without a terminal */

static void show_progress(const struct stores_way *way, uint64_t block)
{
	char size[FORMAT_SIZE_MAX];

	if (progress_side)
		fprintf(stderr, "\r\033[K%s: %s, blocks of %s", progress_side, way->what,
			format_size(size, block));
}

static void tell_unrestored(struct task *task, const struct side *side)
{
	if (side->restored)
		return;
	task->changed = true;
	verb_say("%s: not all of what was overwritten could be restored: are there registers?",
		 side->place.file);
}

/* Returns VERB_DONE also if the side cannot be measured. */
static int measure_side(struct task *task, enum bench_side i)
{
	struct side *side = &task->sides[i];
	bool terminal = verb_is_terminal(STDERR_FILENO);
	enum bench_end end;
	int error;

	if (task->changed && !side->why_not)
		side->why_not = "the other could not restore what it has overwritten";
	if (side->why_not)
		return VERB_DONE;
	progress_side = terminal ? bench_side_names[i] : NULL;
	end = bench_run(task->sysfs_fd, &side->place, show_progress, side->rates, &side->restored);
	error = errno; /* if end is BENCH_FAILED */
	if (terminal)
		fputs("\r\033[K", stderr);

	switch (end) {
	case BENCH_DONE:
		tell_unrestored(task, side);
		return VERB_DONE;
	case BENCH_FAILED:
		if (asprintf(&side->message, "%s: %s%s", side->place.file, strerror(error),
			     error == EINVAL ? "; VFIO or a driver has the BAR" : "") < 0)
			side->message = NULL;
		side->why_not = side->message ?: "out of memory";
		return VERB_DONE;
	case BENCH_REVOKED:
		verb_say("%s: the mapping was taken back while it was written (SIGBUS): the "
			 "service was stopped, or the device was taken; what was overwritten is "
			 "not restored",
			 side->place.file);
		return VERB_FAILED;
	case BENCH_INTERRUPTED:
		verb_say("interrupted%s",
			 side->restored ? "; what was overwritten is restored" : "");
		tell_unrestored(task, side);
		return VERB_FAILED;
	}
	return VERB_FAILED;
}

/* Names what would be overwritten, and whose. */
static int refuse(const struct task *task)
{
	char offset[FORMAT_SIZE_MAX], length[FORMAT_SIZE_MAX];

	for (size_t i = 0; i < BENCH_SIDES; i++) {
		const struct bench_place *place = &task->sides[i].place;

		if (task->sides[i].why_not) {
			verb_say("%s: %s", bench_side_names[i], task->sides[i].why_not);
			continue;
		}
		verb_say("this would overwrite %s+%s of BAR %u of %s, by %s",
			 format_size(offset, place->offset), format_size(length, place->length),
			 task->bar, task->bdf, place->file);
		if (place->mappings > 0 && place->mappings != SYSFS_MAPPINGS_UNSEEN)
			verb_say("live mappings of that alias: %" PRIu64 "; what is stored through "
				 "them meanwhile gets lost; vfio-alias show %s",
				 place->mappings, task->bdf);
	}
	return verb_usage("registers there would take effect; --yes-write if that may be");
}

/* Of a device that does not listen, all would look restored. Returns a VERB_x. */
static int check_power(const struct task *task)
{
	_cleanup_free_ char *state = NULL;
	bool awake;
	int r;

	r = sysfs_power_state(task->sysfs_fd, &state);
	if (r == 0)
		r = sysfs_decodes_memory(task->sysfs_fd);
	if (r < 0) {
		verb_say("%s: whether it is awake cannot be told: %s", task->bdf, strerror(-r));
		return VERB_FAILED;
	}
	awake = streq(state, "D0") || streq(state, "unknown");
	if (awake && r > 0)
		return VERB_DONE;
	verb_say("%s: %s%s, and what is stored gets lost; an alias would mend that: "
		 "vfio-alias mark %s %u:wc --runtime",
		 task->bdf, awake ? "its memory is switched off" : "it sleeps, in power state ",
		 awake ? "" : state, task->bdf, task->bar);
	return VERB_FAILED;
}

/* Looks at the device and chooses what to write. Returns a VERB_x. */
static int prepare(struct task *task)
{
	_cleanup_free_ struct sysfs_alias *aliases = NULL;
	_cleanup_free_ char *driver = NULL;
	struct pci_bar bars[PCI_BARS];
	const struct pci_bar *bar = &bars[task->bar];
	size_t n = 0;
	int r;

	task->sysfs_fd = sysfs_open_device(task->bdf);
	r = task->sysfs_fd < 0 ? task->sysfs_fd : sysfs_read_bars(task->sysfs_fd, bars);
	if (r == 0)
		r = sysfs_driver(task->sysfs_fd, &driver);
	if (r == 0 && sysfs_has_vfio(task->sysfs_fd))
		r = sysfs_read_aliases(task->sysfs_fd, &aliases, &n);
	if (r < 0) {
		verb_say("%s: %s", task->bdf,
			 r == -ENOENT ? "there is no such PCI device" : strerror(-r));
		return VERB_FAILED;
	}
	if (driver && !sysfs_has_vfio(task->sysfs_fd)) {
		verb_say("%s: driver %s uses the device", task->bdf, driver);
		return VERB_FAILED;
	}
	if (bar->kind != PCI_BAR_MEMORY || bar->length < page_size())
		return verb_usage("BAR %u of %s is not one of memory, of a page at least",
				  task->bar, task->bdf);
	if (task->offset >= bar->length ||
	    (task->length > 0 && task->length > bar->length - task->offset))
		return verb_usage("the range is not in BAR %u, of %" PRIu64 " bytes", task->bar,
				  bar->length);
	r = check_power(task);
	if (r != VERB_DONE)
		return r;

	for (unsigned int i = 0; i < BENCH_SIDES; i++) {
		struct side *side = &task->sides[i];

		side->rates = calloc(stores_n_ways, sizeof(*side->rates));
		if (!side->rates) {
			verb_say("%s", strerror(ENOMEM));
			return VERB_FAILED;
		}
		side->place = bench_choose(aliases, n, task->bar, task->offset,
					   task->length ?: bar->length - task->offset,
					   (enum bench_side)i);
		if (task->length == 0 && side->place.length > BENCH_LENGTH)
			side->place.length = BENCH_LENGTH;
		if (side->place.length == 0)
			side->why_not =
				i == BENCH_WC ?
					"no alias of the range is wc" :
					"no alias of the range is uc, and what is claimed as "
					"wc cannot be mapped otherwise";
	}
	return VERB_DONE;
}

/* The descriptor that is printed to, if @st is of the same file; else -EBADF. */
static int find_printed(const struct stat *st)
{
	struct stat printed;

	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (fstat(fd, &printed) == 0 && printed.st_dev == st->st_dev &&
		    printed.st_ino == st->st_ino)
			return fd;
	return -EBADF;
}

/*
 * Whether the plot goes into what is there: a pipe, a device, or what is printed to by another
 * name, such as /dev/stdout. Any other file is replaced.
 */
static bool is_written_directly(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || S_ISDIR(st.st_mode))
		return false;
	return !S_ISREG(st.st_mode) || find_printed(&st) >= 0;
}

/* Makes the file that is to replace @path. Returns a descriptor, or -errno. */
static int make_new(const char *path, char **ret_new)
{
	_cleanup_free_ char *new = NULL;
	int fd;

	if (asprintf(&new, "%s.%d.new", path, getpid()) < 0) {
		new = NULL;
		return -ENOMEM;
	}
	fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	*ret_new = TAKE_PTR(new);
	return fd;
}

/* Before anything is measured: whether the plot can be written. Returns 0 or -errno. */
static int check_svg(const char *path)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *new = NULL;
	struct stat st;

	if (!*path)
		return -ENOENT;
	if (is_written_directly(path))
		return access(path, W_OK) < 0 ? -errno : 0;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return -EISDIR;
	fd = make_new(path, &new);
	if (fd < 0)
		return fd;
	return unlink(new) < 0 ? -errno : 0;
}

/* Takes @fd. Returns 0 or -errno. */
static int write_plot_to(const struct task *task, int fd)
{
	_cleanup_free_ char *text = NULL;
	int r = format_plot(task, &text);

	if (r == 0)
		r = write_all(fd, text, strlen(text));
	return close(fd) < 0 && r == 0 ? -errno : r;
}

/* The file has all of the old plot or all of the new one. Returns 0 or -errno. */
static int replace_svg(const struct task *task)
{
	_cleanup_free_ char *new = NULL;
	sigset_t all, before;
	int r;

	/* A signal that would end it waits: nothing is to be left beside the file. */
	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before); /* these arguments it takes */
	r = make_new(task->svg, &new);
	if (r >= 0)
		r = write_plot_to(task, r);
	if (r == 0 && rename(new, task->svg) < 0)
		r = -errno;
	if (r < 0 && new)
		(void)unlink(new); /* it is the write that failed */
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int write_svg_directly(const struct task *task)
{
	struct stat st;
	int fd = stat(task->svg, &st) == 0 ? find_printed(&st) : -EBADF;

	/* Opened anew, a file would be written from its start again. */
	fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : open(task->svg, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : write_plot_to(task, fd);
}

/* Tells what -errno is of, if it is one. Returns a VERB_x. */
static int svg_result(const struct task *task, int r)
{
	if (r == 0)
		return VERB_DONE;
	verb_say("%s: the plot cannot be written: %s", task->svg, strerror(-r));
	return VERB_FAILED;
}

static int write_svg(const struct task *task)
{
	return svg_result(task, is_written_directly(task->svg) ? write_svg_directly(task) :
								 replace_svg(task));
}

static int print(const struct task *task)
{
	int r;

	if (task->json)
		return verb_print_json(to_json(task));
	r = print_table(task);
	if (r < 0) {
		verb_say("cannot print: %s", strerror(-r));
		return VERB_FAILED;
	}
	return verb_end();
}

static int run(struct task *task)
{
	int r, printed;

	r = prepare(task);
	if (r != VERB_DONE)
		return r;
	if (!task->yes_write)
		return refuse(task);
	r = task->svg ? svg_result(task, check_svg(task->svg)) : VERB_DONE;
	if (r != VERB_DONE)
		return r;

	for (unsigned int i = 0; i < BENCH_SIDES; i++) {
		r = measure_side(task, (enum bench_side)i);
		if (r != VERB_DONE)
			return r;
	}
	for (unsigned int i = 0; i < BENCH_SIDES; i++)
		if (task->sides[i].why_not)
			verb_say("%s cannot be measured: %s", bench_side_names[i],
				 task->sides[i].why_not);
	if (task->sides[BENCH_UC].why_not && task->sides[BENCH_WC].why_not)
		return VERB_FAILED;

	/* The plot first: nobody may read what is printed, and that ends it. */
	r = task->svg ? write_svg(task) : VERB_DONE;
	printed = print(task);
	return task->changed || r != VERB_DONE ? VERB_FAILED : printed;
}

/* A number of bytes of the range. Returns a VERB_x. */
static int parse_range(const char *name, const char *text, uint64_t least, uint64_t *ret)
{
	if (parse_size(text, strlen(text), ret) == 0 && *ret % STORES_ALIGNMENT == 0 &&
	    *ret >= least)
		return VERB_DONE;
	return verb_usage("%s must be a multiple of %zu, such as 64K%s", name, STORES_ALIGNMENT,
			  least ? ", and not 0" : "");
}

int verb_bench(int argc, char *argv[])
{
	enum { OPTION_YES_WRITE = 0x100, OPTION_OFFSET, OPTION_LENGTH, OPTION_SVG, OPTION_JSON };
	static const struct option options[] = {
		{ "yes-write", no_argument, NULL, OPTION_YES_WRITE },
		{ "offset", required_argument, NULL, OPTION_OFFSET },
		{ "length", required_argument, NULL, OPTION_LENGTH },
		{ "svg", required_argument, NULL, OPTION_SVG },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	_cleanup_(task_clear) struct task task = { .sysfs_fd = -EBADF };
	const char *bar;
	int option, r = VERB_DONE;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_YES_WRITE:
			/* getopt takes "--y" as well. */
			if (!streq(argv[optind - 1], "--yes-write"))
				return verb_usage("--yes-write takes the whole word");
			task.yes_write = true;
			break;
		case OPTION_OFFSET:
			r = parse_range("--offset", optarg, 0, &task.offset);
			break;
		case OPTION_LENGTH:
			r = parse_range("--length", optarg, STORES_ALIGNMENT, &task.length);
			break;
		case OPTION_SVG:
			task.svg = optarg;
			break;
		case OPTION_JSON:
			task.json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return verb_end();
		default:
			return VERB_USAGE;
		}
		if (r != VERB_DONE)
			return r;
	}
	if (argc - optind != 2)
		return verb_usage("bench takes the address of a device and a BAR");
	r = verb_parse_bdf(argv[optind], task.bdf);
	if (r != VERB_DONE)
		return r;
	bar = argv[optind + 1];
	if (strlen(bar) != 1 || *bar < '0' || *bar > '5')
		return verb_usage("BAR must be 0 to 5");
	task.bar = (unsigned int)(*bar - '0');
	return run(&task);
}
