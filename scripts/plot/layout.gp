# SPDX-License-Identifier: MIT
# gnuplot -e "data='layout.csv'; out='layout.svg'" layout.gp
# Block 0: position, layout. Then a block a format: position, speed, lo, hi, efficiency in %, lo, hi, time in communication in %, cell.
if (!exists("communication")) communication = 0
if (!exists("height")) height = 500 + 140 * communication
load ARG0[:strlen(ARG0) - strlen("layout.gp")] . "style.gp"
stats data index 0 using 1 name "place" nooutput
series = blocks - 1
step = 0.8 / series
at(x, i) = x + (i - (series + 1) / 2.0) * step
set xrange [-0.5:place_max + 0.5]
if (place_max > 7) set xtics rotate by -35
set style fill solid 1.0 noborder
set boxwidth step * 0.86
first = communication ? 0.44 : 0.56
rest = (1 - first) / (1 + communication)
set multiplot
set size 1,first
set origin 0,1 - first
set yrange [0:*]
set ylabel speed
plot data index 0 using 1:(NaN):xticlabels(2) notitle, \
     for [i = 1:series] data index i using (at($1, i)):2 with boxes linecolor rgb color(i - 1) title columnheader(1), \
     for [i = 1:series] data index i using (at($1, i)):2:3:4 with yerrorbars linecolor rgb ink pointtype 0 notitle, \
     for [i = 1:series] data index i using (at($1, i)):2:(cell($9)) with labels hypertext point pointtype 5 pointsize 2 linecolor rgb "#ffffffff" notitle
unset key
set tmargin 1
set size 1,rest
set origin 0,1 - first - rest
set ylabel "efficiency, %"
set yrange [0:*]
plot data index 0 using 1:(NaN):xticlabels(2) notitle, 100 with lines linecolor rgb accent dashtype 2 linewidth 0.8 notitle, \
     for [i = 1:series] data index i using (at($1, i)):5:6:7 with yerrorbars linecolor rgb color(i - 1) pointtype 0 notitle, \
     for [i = 1:series] data index i using (at($1, i)):5:(cell($9)) with labels hypertext point pointtype shape(i - 1) pointsize 0.8 linecolor rgb color(i - 1) notitle
if (communication) {
    set origin 0,0
    set ylabel "communication,\n% of time"
    plot data index 0 using 1:(NaN):xticlabels(2) notitle, \
         for [i = 1:series] data index i using (at($1, i)):8:(cell($9)) with labels hypertext point pointtype shape(i - 1) pointsize 0.8 linecolor rgb color(i - 1) notitle, \
         for [i = 1:series] data index i using (at($1, i)):8 with impulses linecolor rgb color(i - 1) linewidth 1.2 notitle
}
unset multiplot
