/* Takes what only one on a machine can have, keeps it for a while, and sees that nobody else
 * touched it.
 *
 * Usage: contend WHO SECONDS FOLDER...
 *
 * In every folder it makes the file contend.x, which must not be there, and locks contend.lock.
 * It binds a port and an abstract socket, and makes System V and POSIX objects by fixed names.
 * It ends with 1, and says at what, if anything is taken. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PORT 4711
#define KEY 0x6b696c6e
#define NAME "/kiln-contend"

static void fail(const char *what, const char *where) {
	fprintf(stderr, "contend: %s %s: %s\n", what, where, strerror(errno));
	exit(1);
}

static void write_file(const char *folder, const char *who) {
	char path[4096];
	snprintf(path, sizeof path, "%s/contend.x", folder);
	int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (file < 0 || dprintf(file, "%s\n", who) < 0)
		fail("making", path);
	close(file);
}

static void check_file(const char *folder, const char *who) {
	char path[4096], text[256] = "", wanted[256];
	snprintf(path, sizeof path, "%s/contend.x", folder);
	snprintf(wanted, sizeof wanted, "%s\n", who);
	int file = open(path, O_RDONLY);
	if (file < 0 || read(file, text, sizeof text - 1) < 0)
		fail("reading", path);
	close(file);
	errno = EBUSY;
	if (strcmp(text, wanted) != 0)
		fail("another one wrote", path);
}

static void lock_file(const char *folder) {
	char path[4096];
	snprintf(path, sizeof path, "%s/contend.lock", folder);
	int file = open(path, O_RDWR | O_CREAT, 0644);
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (file < 0 || flock(file, LOCK_EX | LOCK_NB) < 0 || fcntl(file, F_SETLK, &whole) < 0)
		fail("locking", path);
}

static void bind_port(void) {
	int made = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (made < 0 || bind(made, (struct sockaddr *)&at, sizeof at) < 0 || listen(made, 1) < 0)
		fail("binding", "a port");
}

static void bind_abstract(void) {
	int made = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	strcpy(at.sun_path + 1, NAME);
	if (made < 0 || bind(made, (struct sockaddr *)&at, sizeof at) < 0)
		fail("binding", "an abstract socket");
}

/* The memory, so that what is in it can be looked at once more. */
static char *make_objects(const char *who) {
	int flags = IPC_CREAT | IPC_EXCL | 0600;
	int memory = shmget(KEY, 4096, flags);
	if (memory < 0)
		fail("making", "System V memory");
	char *at = shmat(memory, NULL, 0);
	if (at == (char *)-1)
		fail("mapping", "System V memory");
	/* It goes when the last one lets go of it; the others are this system's until removed. */
	int queue = msgget(KEY, flags), semaphore = semget(KEY, 1, flags);
	if (queue < 0 || semaphore < 0)
		fail("making", "System V queues or semaphores");
	int shared = shm_open(NAME, O_RDWR | O_CREAT | O_EXCL, 0600);
	mqd_t posix = mq_open(NAME, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
	/* A kernel may have no POSIX queues; that is no conflict. */
	if (shared < 0 || (posix == (mqd_t)-1 && errno == EEXIST))
		fail("making", "POSIX memory or queues");
	strcpy(at, who);
	return at;
}

static void remove_objects(void) {
	shmctl(shmget(KEY, 0, 0), IPC_RMID, NULL);
	msgctl(msgget(KEY, 0), IPC_RMID, NULL);
	semctl(semget(KEY, 0, 0), 0, IPC_RMID);
	shm_unlink(NAME);
	mq_unlink(NAME);
}

static double now(void) {
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **words) {
	if (count < 4) {
		fprintf(stderr, "usage: contend WHO SECONDS FOLDER...\n");
		return 2;
	}
	const char *who = words[1];
	bind_port();
	bind_abstract();
	for (int at = 3; at < count; at++) {
		write_file(words[at], who);
		lock_file(words[at]);
	}
	char *memory = make_objects(who);
	double began = now();
	usleep(atof(words[2]) * 1e6);
	double ended = now();
	for (int at = 3; at < count; at++)
		check_file(words[at], who);
	errno = EBUSY;
	if (strcmp(memory, who) != 0)
		fail("another one wrote", "System V memory");
	remove_objects();
	printf("contend: %s held from %.3f to %.3f\n", who, began, ended);
	return 0;
}
