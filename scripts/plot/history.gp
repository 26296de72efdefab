# SPDX-License-Identifier: MIT
# gnuplot -e "data='history.csv'; out='history.svg'; levels = 2; points = 1" history.gp
# Block 0: number, value, lo, hi. A block for each level (two ends), then one for each change point: place, height, commit.
if (!exists("height")) height = 300
load ARG0[:strlen(ARG0) - strlen("history.gp")] . "style.gp"
if (!exists("levels")) levels = 1
if (!exists("points")) points = 0
stats data index 0 using 1:2 name "all" nooutput
set key off
set xrange [0:all_max_x + 1]
spread = all_max_y - all_min_y + 0.02 * abs(all_max_y)
set yrange [all_min_y - 0.15 * spread:all_max_y + 0.45 * spread]
# Commits stand above all measurements, neighbours at different heights.
above(i) = all_max_y + (0.12 + 0.12 * (i % 2)) * spread
set format y "%g"
set xlabel "measurement, oldest first"
set ylabel "tokens/s"
# The first line of each block is its name, as in the other plots' data.
plot data index 0 using 1:2:3:4 with yerrorbars linecolor rgb color(0) linewidth 0.6 pointtype 0 notitle, \
     data index 0 using 1:2 with points pointtype 7 pointsize 0.35 linecolor rgb color(0) notitle, \
     for [i = 1:levels] data index i using 1:2 with lines linecolor rgb accent linewidth 1.6 notitle, \
     for [i = levels + 1:levels + points] data index i using 1:(above(i)) with impulses linecolor rgb color(1) dashtype 2 linewidth 1 notitle, \
     for [i = levels + 1:levels + points] data index i using 1:(above(i)):(stringcolumn(3)) with labels right offset -0.5,0.3 textcolor rgb color(1) notitle
