# SPDX-License-Identifier: MIT
# gnuplot -e "data='batch.csv'; out='batch.svg'" batch.gp
# A block a format: batch, speed, lo, hi, cell, batch × the speed at the smallest batch.
load ARG0[:strlen(ARG0) - strlen("batch.gp")] . "style.gp"
stats data using 1:2 name "all" nooutput
set logscale xy
set xrange [all_min_x / 1.25:all_max_x * 1.25]
set yrange [all_min_y / 1.5:all_max_y * 1.8]
set format y "%.0s%c"
eval ytics_log(all_min_y, all_max_y)
set xtics (all_min_x)
set for [i = 0:14] xtics add (sprintf("%d", 2 ** i) 2 ** i)
set grid xtics
set xlabel "batch: sequences in flight (log scale)"
set ylabel speed . " (log scale)"
plot for [i = 0:blocks - 1] data index i using 1:6 with lines linecolor rgb color(i) dashtype 3 linewidth 0.7 notitle, \
     for [i = 0:blocks - 1] data index i using 1:2 with linespoints linecolor rgb color(i) dashtype dash(i) linewidth 1.5 pointtype shape(i) pointsize 0.7 title columnheader(1), \
     for [i = 0:blocks - 1] data index i using 1:2:3:4 with yerrorbars linecolor rgb color(i) pointtype 0 notitle, \
     for [i = 0:blocks - 1] data index i using 1:2:(cell($5)) with labels hypertext point pointtype shape(i) pointsize 0.7 linecolor rgb color(i) notitle
