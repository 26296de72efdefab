# SPDX-License-Identifier: MIT
# gnuplot -e "data='counters.csv'; out='counters.svg'" counters.gp
# Block 0: position, what. Block 1: value, position, cell. Block 2: median, position.
load ARG0[:strlen(ARG0) - strlen("counters.gp")] . "style.gp"
stats data index 1 using ($1 > 0 ? $1 : NaN) name "v" nooutput
stats data index 0 using 1 name "row" nooutput
some = exists("v_min") && v_records > 0
low = some ? 10 ** floor(log10(v_min)) / 10 : 0.1
high = some ? 10 ** ceil(log10(v_max)) * 1.5 : 10
at(x) = x > 0 ? x : low
set logscale x
set xrange [low * 0.6:high]
set yrange [row_max + 0.6:-0.6]
set lmargin 33
set format x "%.0s%c"
set xtics 100
set xtics add ("0" low)
set grid xtics ytics
unset key
set xlabel "in the unit of the row (log scale)"
plot data index 0 using (low):1:yticlabels(2) with points pointtype 0 notitle, \
     data index 1 using (at($1)):2:(cell($3)) with labels hypertext point pointtype 7 pointsize 0.3 linecolor rgb color(0) notitle, \
     data index 2 using (at($1)):($2 - 0.36):(0):(0.72) with vectors nohead linecolor rgb color(1) linewidth 2 notitle
