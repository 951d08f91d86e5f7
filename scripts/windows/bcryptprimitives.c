/* Wine 8 has no bcryptprimitives.dll, from which Rust's standard library takes its random numbers (ProcessPrng). This one
 * hands the question on to RtlGenRandom. For tests under Wine only; Windows has the real one. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    while (length > 0) {
        ULONG part = length > 0x10000000 ? 0x10000000 : (ULONG)length;
        if (!RtlGenRandom(data, part))
            return FALSE;
        data += part;
        length -= part;
    }
    return TRUE;
}
