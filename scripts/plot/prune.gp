# SPDX-License-Identifier: MIT
# gnuplot -e "data='prune.csv'; out='prune.svg'" prune.gp
# A block a format: ratio in %, speed, lo, hi, perplexity, lo, hi, cell, other (1: a pattern beside the line).
if (!exists("height")) height = 600
if (!exists("quality")) quality = 1
if (!exists("others")) others = ""
load ARG0[:strlen(ARG0) - strlen("prune.gp")] . "style.gp"
line(x, other) = other == 0 ? x : NaN
star(x, other) = other == 1 ? x : NaN
set xrange [-3:103]
set xtics 25
if (quality) set multiplot layout 2,1
set yrange [0:*]
set ylabel speed
if (!quality) set xlabel "weights pruned, %"
plot for [i = 0:blocks - 1] data index i using (line($1, $9)):2 with linespoints linecolor rgb color(i) dashtype dash(i) linewidth 1.5 pointtype shape(i) pointsize 0.7 title columnheader(1), \
     for [i = 0:blocks - 1] data index i using 1:2:3:4 with yerrorbars linecolor rgb color(i) pointtype 0 notitle, \
     for [i = 0:blocks - 1] data index i using (line($1, $9)):2:(cell($8)) with labels hypertext point pointtype shape(i) pointsize 0.7 linecolor rgb color(i) notitle, \
     for [i = 0:blocks - 1] data index i using (star($1, $9)):2:(cell($8)) with labels hypertext point pointtype 3 pointsize 1 linecolor rgb color(i) notitle, \
     for [i = 1:strlen(others) > 0] keyentry with points pointtype 3 pointsize 1 linecolor rgb ink title others
if (quality) {
    unset key
    set tmargin 1
    set yrange [*:*]
    stats data using 5 name "quality" nooutput
    eval perplexity_axis(quality_min, quality_max)
    set xlabel "weights pruned, %"
    plot for [i = 0:blocks - 1] data index i using (line($1, $9)):5 with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.5 notitle, \
         for [i = 0:blocks - 1] data index i using 1:5:6:7 with yerrorbars linecolor rgb color(i) pointtype 0 notitle, \
         for [i = 0:blocks - 1] data index i using (line($1, $9)):5:(cell($8)) with labels hypertext point pointtype shape(i) pointsize 0.7 linecolor rgb color(i) notitle, \
         for [i = 0:blocks - 1] data index i using (star($1, $9)):5:(cell($8)) with labels hypertext point pointtype 3 pointsize 1 linecolor rgb color(i) notitle
    unset multiplot
}
