# A confirmation run: one session of a given length, then its report. The exit code is the verdict.
# The twin of scripts/confirmation-run; `scripts/confirmation-run.ps1 --help` explains it.
$ErrorActionPreference = 'Stop'
# A native command's exit code is looked at here, never turned into an exception.
$PSNativeCommandUseErrorActionPreference = $false

$usage = @'
usage: scripts/confirmation-run.ps1 [--for DURATION] [flags of `neo run`]

Runs one session (30 minutes of trading time unless --for says otherwise), then shows its report. Other flags go to
`neo run`, for example:

  scripts/confirmation-run.ps1 --for 30m --speed 20
  scripts/confirmation-run.ps1 --for 2h --db data/confirmation.db --config config/sim.toml

With --config or --mode, name the record with --db, so that the report reads the same one.

The neo binary is $env:NEO if set, else the checkout's (built if need be), else the one in PATH.

Exit codes: 0 the session was closed cleanly and its books balance, 1 it was not, 2 usage or configuration, 3 database,
4 stop deadline passed, 70 fault.
'@

function Stop-Usage([string] $message) {
    [Console]::Error.WriteLine("confirmation-run: $message")
    exit 2
}

$length = '30m'
$db = $null
$elsewhere = $null
$pass = @()
$withValue = @('--for', '--db', '--config', '--mode', '--set')
for ($i = 0; $i -lt $args.Count; $i++) {
    $argument = [string] $args[$i]
    if ($argument -eq '-h' -or $argument -eq '--help') {
        $usage
        exit 0
    }
    $name, $value = $argument.Split('=', 2)
    if ($withValue -cnotcontains $name) {
        $pass += $argument
        continue
    }
    if ($null -eq $value) {
        $i++
        if ($i -ge $args.Count) { Stop-Usage "$name needs a value; see --help" }
        $value = [string] $args[$i]
    }
    switch -CaseSensitive ($name) {
        '--for' { $length = $value }
        '--db' { $db = $value }
        '--config' { $elsewhere = $name }
        '--mode' { $elsewhere = $name }
        '--set' { if ($value -cmatch '^session\.(db|mode)=') { $elsewhere = "--set $value" } }
    }
    if ($name -cne '--for') { $pass += $name, $value }
}
if ($elsewhere -and -not $db) { Stop-Usage "$elsewhere may change the record; name it with --db FILE as well" }

$root = Split-Path -Parent $PSScriptRoot
$manifest = Join-Path $root 'Cargo.toml'
$target = if ($env:CARGO_TARGET_DIR) { $env:CARGO_TARGET_DIR } else { Join-Path $root 'target' }
$name = if ($env:OS -eq 'Windows_NT') { 'neo.exe' } else { 'neo' }
$built = Join-Path (Join-Path $target 'release') $name
if ($env:NEO) {
    $neo = $env:NEO
} elseif ((Test-Path $manifest) -and (Get-Command cargo -ErrorAction SilentlyContinue)) {
    # Does nothing when the binary is newer than its sources.
    & cargo build --release --quiet --manifest-path $manifest --bin neo
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
    $neo = $built
} elseif (Test-Path $built) {
    $neo = $built
} elseif (Get-Command neo -ErrorAction SilentlyContinue) {
    $neo = 'neo'
} else {
    Stop-Usage 'no neo binary: set NEO to its path, or install Rust and run this from a checkout'
}

$record = @()
if ($db) { $record = @('--db', $db) }

# How many sessions the record has; none while there is no record.
function Get-SessionCount {
    # Windows PowerShell makes exceptions of what a command writes to its standard error.
    $ErrorActionPreference = 'SilentlyContinue'
    @(& $neo sessions --json @record 2>$null | Where-Object { $_ -match '"session"' }).Count
}

$before = Get-SessionCount
& $neo run --for $length @pass
$run = $LASTEXITCODE
if ((Get-SessionCount) -le $before) {
    [Console]::Error.WriteLine("confirmation-run: no session was started (neo run ended with $run)")
    if ($run -eq 0) { exit 1 }
    exit $run
}

& $neo report latest @record
$verdict = $LASTEXITCODE
if ($run -ne 0) { $verdict = $run }
exit $verdict
