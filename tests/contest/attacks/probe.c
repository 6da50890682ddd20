/* Tries one thing and says what came of it, in one line: `contest: reached WHAT` or
 * `contest: held WHAT (why)`. Every attack of the contest that is more than a shell's words is a
 * case in here. It aims at canaries that the contest made, or at the jail itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static int told(const char *what, long result)
{
    if (result >= 0)
        printf("contest: reached %s\n", what);
    else
        printf("contest: held %s (%s)\n", what, strerror(errno));
    fflush(stdout);
    return 0;
}

static long new_user_namespace(void)
{
    return syscall(SYS_unshare, CLONE_NEWUSER);
}

static long clone_user_namespace(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, 0, 0);
    return pid;
}

static long vsock(void) { return socket(40, SOCK_STREAM, 0); }
static long netfilter(void) { return socket(AF_NETLINK, SOCK_RAW, 12); }
static long raw_socket(void) { return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }
static long keyring(void) { return syscall(SYS_add_key, "user", "contest", "x", 1, -2); }

static long io_uring(void)
{
    char parameters[120] = {0};
    return syscall(SYS_io_uring_setup, 1, parameters);
}

/* 1: only faults of user space, which needs no privilege. */
static long userfault(void) { return syscall(SYS_userfaultfd, 1); }

static long file_handle(void)
{
    struct { unsigned bytes; int type; char handle[128]; } at = {128, 0, {0}};
    int mount = 0;
    return syscall(SYS_name_to_handle_at, AT_FDCWD, "/dev/shm", &at, &mount, 0);
}

static long mount_memory(void)
{
    mkdir("/tmp/contest-mount", 0700);
    return mount("none", "/tmp/contest-mount", "tmpfs", 0, 0);
}

static long device(void)
{
    unlink("/tmp/contest-disk");
    return mknod("/tmp/contest-disk", S_IFBLK | 0600, 8 << 8);
}

static long load_module(void) { return syscall(SYS_init_module, "x", 1L, ""); }
static long set_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}
static long reload_kernel(void) { return syscall(SYS_kexec_load, 0L, 0L, 0L, 0L); }
static long join_namespace(void)
{
    int first = open("/proc/1/ns/mnt", O_RDONLY);
    return first < 0 ? -1 : setns(first, 0);
}
static long trace_first(void) { return ptrace(PTRACE_SEIZE, 1, 0, 0); }

static long connect_to_port(const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = socket(AF_INET, SOCK_STREAM, 0);
    return one < 0 ? -1 : connect(one, (struct sockaddr *)&to, sizeof to);
}

/* A name without a file: all of one network namespace can connect to it. */
static long connect_to_name(const char *name)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path + 1, name, sizeof to.sun_path - 2);
    int one = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
    return one < 0 ? -1 : connect(one, (struct sockaddr *)&to, length);
}

static long connect_to_path(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    int one = socket(AF_UNIX, SOCK_STREAM, 0);
    return one < 0 ? -1 : connect(one, (struct sockaddr *)&to, sizeof to);
}

static long read_file(const char *path)
{
    char text[4096];
    int file = open(path, O_RDONLY);
    if (file < 0)
        return -1;
    long count = read(file, text, sizeof text - 1);
    if (count <= 0) {
        errno = count ? errno : ENODATA;
        return -1;
    }
    text[count] = 0;
    printf("%.100s\n", text);
    return 0;
}

static long write_file(const char *path)
{
    int file = open(path, O_WRONLY);
    return file < 0 ? -1 : write(file, "1", 1);
}

/* Out of a chroot by a folder that stayed open, as far up as it goes; then down to a file. */
static long leave_root(const char *path)
{
    mkdir("/tmp/contest-root", 0700);
    int out = open("/", O_RDONLY | O_DIRECTORY);
    if (out < 0 || chroot("/tmp/contest-root") < 0 || fchdir(out) < 0)
        return -1;
    for (int up = 0; up < 64; up++)
        if (chdir("..") < 0)
            return -1;
    if (chroot(".") < 0)
        return -1;
    return read_file(path);
}

static long no_new_privs(void)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "NoNewPrivs:", 11)) {
            errno = EPERM;
            return atoi(line + 11) ? -1 : 0;
        }
    errno = ENOENT;
    return -1;
}

static long many_processes(long count)
{
    for (long each = 0; each < count; each++) {
        pid_t pid = fork();
        if (pid == 0) {
            sleep(6);
            _exit(0);
        }
        if (pid < 0 && errno != EAGAIN)
            return -1;
    }
    sleep(3);
    return 0;
}

static long much_memory(long megabytes)
{
    for (long each = 0; each < megabytes; each++) {
        char *more = malloc(1 << 20);
        if (!more)
            return -1;
        memset(more, 7, 1 << 20);
        usleep(3000);
    }
    sleep(2);
    return 0;
}

static long much_disk(long megabytes)
{
    static char block[1 << 20];
    memset(block, 7, sizeof block);
    int file = open("contest-block", O_WRONLY | O_CREAT, 0600);
    for (long each = 0; each < megabytes; each++) {
        if (write(file, block, sizeof block) < 0)
            return -1;
        usleep(5000);
    }
    sleep(2);
    return 0;
}

static long many_inodes(long count)
{
    char name[64];
    mkdir("contest-inodes", 0700);
    for (long each = 0; each < count; each++) {
        snprintf(name, sizeof name, "contest-inodes/%ld", each);
        int file = open(name, O_WRONLY | O_CREAT, 0600);
        if (file < 0)
            return -1;
        close(file);
    }
    sleep(2);
    return 0;
}

static long hole(long gigabytes)
{
    signal(SIGXFSZ, SIG_IGN);
    int file = open("contest-hole", O_WRONLY | O_CREAT, 0600);
    return ftruncate(file, gigabytes << 30);
}

static long much_log(long megabytes, long pause)
{
    static char line[1024];
    memset(line, 'x', sizeof line);
    line[1023] = '\n';
    for (long each = 0; each < megabytes << 10; each++) {
        if (fwrite(line, 1, sizeof line, stdout) != sizeof line)
            return -1;
        if (pause && each % 256 == 0)
            usleep(pause);
    }
    return 0;
}

/* So many seconds of a processor's time, however many others want it. */
static long spin(long seconds)
{
    time_t end = time(0) + 20 * seconds;
    for (volatile unsigned long each = 0;; each++)
        if (each % (1 << 20) == 0 && (clock() / CLOCKS_PER_SEC >= seconds || time(0) > end))
            return 0;
}

/* Two forks and a session of its own; it then tries for a while to tell that it is alive. */
static long survivor(const char *port)
{
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            for (int each = 0; each < 60; each++) {
                sleep(1);
                connect_to_port(port);
            }
            _exit(0);
        }
        _exit(0);
    }
    return 0;
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "", *with = count > 2 ? words[2] : "0";
    long number = atol(with);
    static const struct { const char *name; long (*try)(void); } plain[] = {
        {"new-user-namespace", new_user_namespace}, {"clone-user-namespace", clone_user_namespace},
        {"vsock", vsock}, {"netfilter", netfilter}, {"raw-socket", raw_socket},
        {"keyring", keyring}, {"io-uring", io_uring}, {"userfault", userfault},
        {"file-handle", file_handle}, {"mount", mount_memory}, {"device", device},
        {"load-module", load_module}, {"set-clock", set_clock}, {"reload-kernel", reload_kernel},
        {"join-namespace", join_namespace}, {"trace-first", trace_first},
        {"no-new-privs", no_new_privs},
    };
    static const struct { const char *name; long (*try)(const char *); } named[] = {
        {"connect-to-port", connect_to_port}, {"connect-to-name", connect_to_name},
        {"connect-to-path", connect_to_path},
        {"read", read_file}, {"write", write_file}, {"leave-root", leave_root},
        {"survivor", survivor},
    };
    static const struct { const char *name; long (*try)(long); } counted[] = {
        {"processes", many_processes}, {"memory", much_memory}, {"disk", much_disk},
        {"inodes", many_inodes}, {"hole", hole}, {"spin", spin},
    };
    for (size_t at = 0; at < sizeof plain / sizeof *plain; at++)
        if (!strcmp(what, plain[at].name))
            return told(what, plain[at].try());
    for (size_t at = 0; at < sizeof named / sizeof *named; at++)
        if (!strcmp(what, named[at].name))
            return told(what, named[at].try(with));
    for (size_t at = 0; at < sizeof counted / sizeof *counted; at++)
        if (!strcmp(what, counted[at].name))
            return told(what, counted[at].try(number));
    if (!strcmp(what, "log"))
        return told(what, much_log(number, 0));
    if (!strcmp(what, "slow-log"))
        return told(what, much_log(number, 20000));
    return 2;
}
