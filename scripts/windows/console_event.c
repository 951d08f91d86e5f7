/* Delivers a console event to one process as Windows does, for tests: Wine 8 kills a process whose console window is
 * closed without calling its handlers.
 *
 *     console_event PID EVENT MS
 *
 * EVENT is 0 (Ctrl-C), 1 (Ctrl-Break), 2 (close), 5 (log-off) or 6 (shutdown). A thread is started in the process at
 * kernelbase!CtrlRoutine, which calls the registered handlers, the last one first. For close, log-off and shutdown the
 * process is then ended when the handlers have returned, or after MS milliseconds: so Microsoft's page on HandlerRoutine
 * says of Windows. That policy is this program's; registration and dispatch are the system's.
 *
 * Prints what happened in one line; exits with 0 when the event was delivered. */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>
#include <tlhelp32.h>

/* How long an ending process may take to be gone. */
#define GONE_MS 15000

static int failed(const char *what)
{
    printf("%s: error %lu\n", what, GetLastError());
    return 1;
}

static LPTHREAD_START_ROUTINE ctrl_routine(void)
{
    /* At the same address in every process, as system libraries are. */
    FARPROC routine = GetProcAddress(GetModuleHandleA("kernelbase"), "CtrlRoutine");
    if (!routine)
        routine = GetProcAddress(GetModuleHandleA("kernel32"), "CtrlRoutine");
    return (LPTHREAD_START_ROUTINE)(void *)routine;
}

/* A process that is ending has ended all its threads but one, in one step; the engine has more than two. */
static int is_ending(HANDLE process, DWORD pid)
{
    THREADENTRY32 entry = {.dwSize = sizeof entry};
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
    int threads = 0;
    for (BOOL more = Thread32First(all, &entry); more; more = Thread32Next(all, &entry))
        threads += entry.th32OwnerProcessID == pid;
    CloseHandle(all);
    return threads <= 1 || WaitForSingleObject(process, 0) == WAIT_OBJECT_0;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        printf("usage: console_event PID EVENT MS\n");
        return 2;
    }
    DWORD pid = (DWORD)atoi(argv[1]), event = (DWORD)atoi(argv[2]), limit_ms = (DWORD)atoi(argv[3]);
    HANDLE process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, pid);
    if (!process)
        return failed("the process cannot be opened");
    LPTHREAD_START_ROUTINE routine = ctrl_routine();
    if (!routine)
        return failed("CtrlRoutine is not there");

    DWORD begun = GetTickCount();
    HANDLE thread = CreateRemoteThread(process, NULL, 0, routine, (void *)(ULONG_PTR)event, 0, NULL);
    if (!thread)
        return failed("no thread in the process");
    HANDLE either[2] = {process, thread};
    DWORD first = WaitForMultipleObjects(2, either, FALSE, limit_ms);
    DWORD took = GetTickCount() - begun, code = 0;
    if (first != WAIT_TIMEOUT && is_ending(process, pid)) {
        WaitForSingleObject(process, GONE_MS);
        GetExitCodeProcess(process, &code);
        printf("ended by itself after %lu ms, exit code %lu\n", took, code);
    } else if (event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT) {
        printf("handled after %lu ms, process left alone\n", took);
    } else {
        TerminateProcess(process, STATUS_CONTROL_C_EXIT); /* as Windows does */
        WaitForSingleObject(process, GONE_MS);
        printf("terminated after %lu ms: %s\n", took, first == WAIT_TIMEOUT ? "time is over" : "the handler returned");
    }
    return 0;
}
