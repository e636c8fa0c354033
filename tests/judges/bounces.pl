#!/usr/bin/perl
# What Mail::DeliveryStatus::BounceParser makes of the mails in these files, one JSON line a file.
use strict;
use warnings;
use JSON::PP;
use Mail::DeliveryStatus::BounceParser;

my $json = JSON::PP->new->canonical->latin1;
for my $file (@ARGV) {
    open my $in, '<:raw', $file or die "$file: $!";
    local $/;
    my $bounce = Mail::DeliveryStatus::BounceParser->new(scalar <$in>);
    my @reports = map {
        my $report = $_;
        +{ map { my $value = $report->get($_); chomp $value if defined $value; ($_ => $value) }
           qw(email std_reason reason host smtp_code action status original-recipient
              diagnostic-code remote-mta arrival-date reporting-mta original-envelope-id
              will-retry-until final-log-id) }
    } $bounce->reports;
    print $json->encode({
        bounce => $bounce->is_bounce ? JSON::PP::true : JSON::PP::false,
        message_id => $bounce->orig_message_id,
        reports => \@reports,
    }), "\n";
}
