"""System calls by name and number: which ones a confined process may use, on x86-64 and on aarch64.

Numbers are Linux's own (`asm/unistd_64.h`, `asm-generic/unistd.h`) and never change. What may be used with
certain arguments only is in `seccomp`; everything that stands nowhere is refused. Not here on purpose: whatever
starts processes, changes a file's owner, mode or times (Landlock does not watch these), mounts, makes sockets
that have an address, traces, reads another's memory, or sets up io_uring, BPF and the like.
"""

from __future__ import annotations


def _table(text: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (item.partition("=") for item in text.split())}


# name=x86-64:aarch64
_BOTH = """
    read=0:63 write=1:64 close=3:57 fstat=5:80 newfstatat=262:79 ppoll=271:73 lseek=8:62 mmap=9:222 mprotect=10:226
    munmap=11:215 brk=12:214 rt_sigaction=13:134 rt_sigprocmask=14:135 rt_sigreturn=15:139 pread64=17:67
    pwrite64=18:68 readv=19:65 writev=20:66 preadv=295:69 pwritev=296:70 preadv2=327:286 pwritev2=328:287
    faccessat=269:48 faccessat2=439:439 pipe2=293:59 pselect6=270:72 sched_yield=24:124 mremap=25:216 msync=26:227
    mincore=27:232 madvise=28:233 dup=32:23 dup3=292:24 nanosleep=35:101 clock_nanosleep=230:115 getitimer=36:102
    setitimer=38:103 getpid=39:172 gettid=186:178 getppid=110:173 sendfile=40:71 exit=60:93 exit_group=231:94
    uname=63:160 fsync=74:82 fdatasync=75:83 ftruncate=77:46 getdents64=217:61 getcwd=79:17 chdir=80:49 fchdir=81:50
    renameat=264:38 renameat2=316:276 mkdirat=258:34 unlinkat=263:35 readlinkat=267:78 symlinkat=266:36 linkat=265:37
    umask=95:166 gettimeofday=96:169 times=100:153 getrlimit=97:163 setrlimit=160:164 getrusage=98:165 sysinfo=99:179
    getuid=102:174 getgid=104:176 geteuid=107:175 getegid=108:177 getresuid=118:148 getresgid=120:150
    getgroups=115:158 getpgid=121:155 getsid=124:156 getpriority=140:141 capget=125:90 rt_sigpending=127:136
    rt_sigtimedwait=128:137 rt_sigsuspend=130:133 sigaltstack=131:132 statfs=137:43 fstatfs=138:44 futex=202:98
    futex_waitv=449:449 sched_getaffinity=204:123 sched_getparam=143:121 sched_getscheduler=145:120
    sched_get_priority_max=146:125 sched_get_priority_min=147:126 set_tid_address=218:96 set_robust_list=273:99
    restart_syscall=219:128 fadvise64=221:223 clock_gettime=228:113 clock_getres=229:114 timer_create=222:107
    timer_settime=223:110 timer_gettime=224:108 timer_getoverrun=225:109 timer_delete=226:111 epoll_create1=291:20
    epoll_ctl=233:21 epoll_pwait=281:22 epoll_pwait2=441:441 eventfd2=290:19 timerfd_create=283:85
    timerfd_settime=286:86 timerfd_gettime=287:87 getrandom=318:278 membarrier=324:283 rseq=334:293 statx=332:291
    copy_file_range=326:285 close_range=436:436 getcpu=309:168 recvfrom=45:207 shutdown=48:210 getsockname=51:204
    getpeername=52:205 getsockopt=55:209 wait4=61:260 waitid=247:95 flock=73:32 tee=276:77 splice=275:76
    fallocate=285:47 sync_file_range=277:84 get_robust_list=274:100 mlock=149:228 munlock=150:229
"""

# Older calls that aarch64 never had.
_X86_64_ONLY = """
    stat=4 lstat=6 poll=7 access=21 pipe=22 select=23 dup2=33 pause=34 alarm=37 getdents=78 rename=82 mkdir=83
    rmdir=84 unlink=87 readlink=89 symlink=88 link=86 time=201 getpgrp=111 arch_prctl=158 epoll_create=213
    epoll_wait=232 eventfd=284
"""

# Looked at with their arguments, or answered with an error of their own (x86-64:aarch64; - where there is none).
_SPECIAL = """
    clone=56:220 clone3=435:435 kill=62:129 tkill=200:130 tgkill=234:131 fcntl=72:25 ioctl=16:29 prctl=157:167
    prlimit64=302:261 socketpair=53:199 sendto=44:206 open=2:- openat=257:56 fork=57:- vfork=58:- execve=59:221
    execveat=322:281 socket=41:198 connect=42:203 bind=49:200 listen=50:201 accept=43:202 accept4=288:242
    sendmsg=46:211 recvmsg=47:212 ptrace=101:117 chmod=90:- fchmod=91:52 fchmodat=268:53 chown=92:- fchown=93:55
    fchownat=260:54 utimensat=280:88 mount=165:40 unshare=272:97 truncate=76:45 mknodat=259:33 setsid=112:157
    setpgid=109:154
"""


def _column(text: str, column: int) -> dict[str, int]:
    pairs = (item.partition("=") for item in text.split())
    return {name: int(number) for name, _, both in pairs if (number := both.split(":")[column]) != "-"}


ALLOWED: dict[str, dict[str, int]] = {
    "x86_64": _column(_BOTH, 0) | _table(_X86_64_ONLY),
    "aarch64": _column(_BOTH, 1),
}
"""Machine (as `platform.machine()` says) to the calls that are always allowed."""

SPECIAL: dict[str, dict[str, int]] = {"x86_64": _column(_SPECIAL, 0), "aarch64": _column(_SPECIAL, 1)}
"""Machine to the calls that `seccomp` decides about, and those that have to be refused with EPERM by name."""
