# Runs one unit of Redis's own test suite against a running server and reports every test on a line of its own.
#
#   tclsh driver.tcl UNIT HOST PORT SKIPFILE        (in the folder of the unpacked Redis source)
#
# The suite's procedures are taken from the source package at run time. Three are replaced: the reports go to stdout, so
# that one process is enough; a failed test gets a fresh connection, so that it can't fail the next; and what stands
# between tests is run command by command, so that one failed preparation can't hide the rest of the unit.
#
# A line is: `suite` status milliseconds text, the text in hex. Statuses: testing, ok, err, skip, ignore, setup,
# commands (those that the test before sent), done.

lassign $argv unit host port skipfile
set argv [list --host $host --port $port --singledb --durable --skipfile $skipfile]
set argc [llength $argv]

set file [open tests/test_helper.tcl]
set helper [read $file]
close $file
# All up to where the suite would start its own processes.
set main [string first "\nif \{\$::client\} \{" $helper]
if {$main < 0} {
    puts stderr "tests/test_helper.tcl has another shape than expected"
    exit 1
}
eval [string range $helper 0 $main]

set ::test_server_fd stdout
fconfigure stdout -buffering line -encoding utf-8
set ::curfile "tests/$unit.tcl"

proc send_data_packet {fd status data {elapsed 0}} {
    puts "suite $status $elapsed [binary encode hex [encoding convertto utf-8 $data]]"
}

# The commands that the present test has sent, as `SET NX` or `GET`.
set ::sent {}
rename ::redis::__dispatch__raw__ ::redis::torc_dispatch
proc ::redis::__dispatch__raw__ {id method argv} {
    if {[info command ::redis::__method__$method] eq {}} {
        set name [string toupper $method]
        if {$name in {OBJECT CONFIG DEBUG CLIENT SCRIPT FUNCTION ACL MEMORY COMMAND}} {
            append name " [string toupper [lindex $argv 0]]"
        } elseif {$name eq {SET}} {
            foreach option [lrange $argv 2 end] {
                if {[string toupper $option] in {NX XX}} {append name " [string toupper $option]"}
            }
        }
        # The suite itself logs the name of every test with DEBUG LOG.
        if {$name ni $::sent && $name ne {DEBUG LOG}} {lappend ::sent $name}
    }
    uplevel 1 [list ::redis::torc_dispatch $id $method $argv]
}

rename test suite_test
set ::in_test 0
proc test {args} {
    set failed $::num_failed
    set ::sent {}
    incr ::in_test
    catch {uplevel 1 [list suite_test {*}$args]} result options
    incr ::in_test -1
    send_data_packet stdout commands [join $::sent ","]
    if {$::num_failed > $failed} {catch {reconnect}}
    return -options $options $result
}

# Between tests, what only looks into the server must not end the loop that it stands in, and the tests there with it.
foreach look {assert_encoding memory_usage} {
    rename $look suite_$look
    proc $look {args} [string map [list LOOK $look] {
        if {[catch {suite_LOOK {*}$args} result options]} {
            if {$::in_test} {return -options $options $result}
            send_data_packet stdout setup "LOOK $args: $result"
            return 1
        }
        return $result
    }]
}

# The top-level commands of a script.
proc commands_of {script} {
    set commands {}
    set command ""
    foreach line [split $script "\n"] {
        append command $line "\n"
        if {[info complete $command] && [string index $line end] ne "\\"} {
            set trimmed [string trim $command]
            if {$trimmed ne "" && [string index $trimmed 0] ne "#"} {lappend commands $command}
            set command ""
        }
    }
    if {[string trim $command] ne ""} {lappend commands $command}
    return $commands
}

# Runs a script in the frame of the caller's caller, each command by itself.
proc run_each {script} {
    foreach command [commands_of $script] {
        set code [catch {uplevel 2 $command} result]
        if {$code == 1} {
            send_data_packet stdout setup "[lindex [split [string trim $command] \n] 0]: $result"
            catch {reconnect}
        }
    }
}

# Names the tests of a script that is not run.
proc ignore_each {script reason} {
    foreach command [commands_of $script] {
        if {[catch {lindex $command 0} word]} continue
        if {$word eq "test"} {
            send_data_packet stdout ignore "[lindex $command 1]: $reason"
        } elseif {$word in {tags start_server}} {
            ignore_each [lindex $command 2] $reason
        }
    }
}

proc tags {tags code} {
    set tags [string trim $tags "\""]
    set ::tags [concat $::tags $tags]
    if {[tags_acceptable $::tags reason]} {
        run_each $code
    } else {
        ignore_each $code $reason
    }
    set ::tags [lrange $::tags 0 end-[llength $tags]]
}

proc start_server {options {code {}}} {
    set tags {}
    set overrides {}
    foreach {option value} $options {
        if {$option eq "tags"} {set tags [string trim $value "\""]}
        if {$option eq "overrides"} {set overrides [concat $overrides $value]}
    }
    set ::tags [concat $::tags $tags]
    if {[tags_acceptable $::tags reason]} {
        set client [redis $::host $::port 0 $::tls]
        set config [dict create port $::port]
        lappend ::servers [dict create host $::host port $::port client $client config $config]
        set saved {}
        if {[catch {
            r flushall
            r function flush
        } result]} {
            send_data_packet stdout setup "flush: $result"
        }
        foreach {name value} $overrides {
            if {[catch {
                dict set saved $name [lindex [r config get $name] 1]
                r config set $name $value
            } result]} {
                send_data_packet stdout setup "config set $name $value: $result"
            }
        }
        run_each $code
        dict for {name value} $saved {catch {r config set $name $value}}
        catch {[dict get [lpop ::servers] client] close}
    } else {
        ignore_each $code $reason
    }
    set ::tags [lrange $::tags 0 end-[llength $tags]]
}

source $::curfile
send_data_packet stdout done $unit
