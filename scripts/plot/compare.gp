# SPDX-License-Identifier: MIT
# gnuplot -e "data='ratio.csv'; out='ratio.svg'; threshold = 0.05" compare.gp
# A block a verdict: rank, ratio of B over A, lo, hi, row of B.
load ARG0[:strlen(ARG0) - strlen("compare.gp")] . "style.gp"
if (!exists("threshold")) threshold = 0.05
if (!exists("phase")) phase = "speed"
stats data using 1:2 name "all" nooutput
stats data using 3 name "low" nooutput
stats data using 4 name "high" nooutput
least = low_min < 1 / (1 + 2 * threshold) ? low_min : 1 / (1 + 2 * threshold)
most = high_max > 1 + 2 * threshold ? high_max : 1 + 2 * threshold
set logscale y
set yrange [least / 1.02:most * 1.02]
set xrange [0:all_max_x + 1]
set format y "%g"
step = most - least > 1 ? 0.25 : most - least > 0.4 ? 0.1 : most - least > 0.2 ? 0.05 : 0.02
set ytics (1)
if (most / least < 3) set for [i = -floor(0.9 / step):floor(2 / step)] ytics add (1 + i * step)
if (most / least >= 3) set for [e = -3:3] ytics add (10.0 ** e, 2 * 10.0 ** e, 5 * 10.0 ** e)
set object 1 rectangle from graph 0, first 1 / (1 + threshold) to graph 1, first 1 + threshold behind fillcolor rgb grid_ink fillstyle solid 0.6 noborder
set arrow from graph 0, first 1 to graph 1, first 1 nohead linecolor rgb axis_ink linewidth 0.8
set xlabel "cells, from the smallest ratio to the largest"
set ylabel phase . ": B over A (log scale)"
hue(i) = word("#009e73 #d55e00 #e69f00 #0072b2", i + 1)
plot for [i = 0:3] data index i using 1:2:3:4 with yerrorbars linecolor rgb hue(i) linewidth 0.6 pointtype 0 notitle, \
     for [i = 0:3] data index i using 1:2 with points pointtype shape(i) pointsize 0.5 linecolor rgb hue(i) title columnheader(1), \
     for [i = 0:3] data index i using 1:2:(cell($5)) with labels hypertext point pointtype shape(i) pointsize 0.5 linecolor rgb hue(i) notitle
