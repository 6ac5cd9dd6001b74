/* Exchange two names in a loop, as an attacker does who owns them.

       swap_links A B COUNT [FILE]

   COUNT is the number of exchanges; 0: until SIGTERM, with A and B in their places again at the
   end. With FILE, the first exchange is made when FILE exists. Some exchanges follow each other at
   once, others after pauses of up to two milliseconds: a look takes about as long.

   Prints "ready" before the first exchange, or after BEGINNING exchanges if COUNT is 0. Prints the
   number of exchanges at the end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_PAUSE 2000000u /* nanoseconds */
#define BEGINNING 100

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

static void pause_for(unsigned nanoseconds)
{
	struct timespec pause = {0, nanoseconds};

	nanosleep(&pause, NULL);
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static int exchange(const char *a, const char *b, const char *spare)
{
	if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return rename(a, spare) || rename(b, a) || rename(spare, b) ? -1 : 0;
}

int main(int argc, char **argv)
{
	char spare[4096];
	unsigned long done = 0, count;
	unsigned random = 1;

	if (argc < 4)
		return 2;
	count = strtoul(argv[3], NULL, 10);
	snprintf(spare, sizeof spare, "%s.spare", argv[2]);
	signal(SIGTERM, stop);
	if (count)
		ready();
	while (argc > 4 && !stopping && access(argv[4], F_OK) != 0)
		pause_for(20000);
	while (count ? done < count && !stopping : !stopping || done % 2) {
		if (exchange(argv[1], argv[2], spare) != 0) {
			perror("exchange");
			return 1;
		}
		if (++done == BEGINNING && !count)
			ready();
		random = random * 1664525u + 1013904223u;
		if (random >> 30)
			pause_for((random >> 8) % LONGEST_PAUSE);
	}
	printf("%lu\n", done);
	return 0;
}
