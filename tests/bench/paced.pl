# Writes lines at an even pace, each with the moment at which it is written:
#   perl paced.pl LINES LINES_PER_SECOND BYTES_PER_LINE
# "<CLOCK_MONOTONIC in ns> <number> ......", as Python's time.monotonic_ns() has it.
use strict;
use warnings;
use Time::HiRes qw(clock_gettime clock_nanosleep CLOCK_MONOTONIC);

my ($lines, $per_second, $bytes) = @ARGV;
my $begin = clock_gettime(CLOCK_MONOTONIC);
for my $number (1 .. $lines) {
    my $early = $begin + $number / $per_second - clock_gettime(CLOCK_MONOTONIC);
    clock_nanosleep(CLOCK_MONOTONIC, $early * 1e9) if $early > 0;
    my $line = sprintf "%.0f %d ", clock_gettime(CLOCK_MONOTONIC) * 1e9, $number;
    $line .= "." x ($bytes - 1 - length $line) . "\n";
    syswrite(STDOUT, $line) == length $line or die "cannot write: $!";
}
