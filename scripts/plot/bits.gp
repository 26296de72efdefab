# SPDX-License-Identifier: MIT
# gnuplot -e "data='bits.csv'; out='bits.svg'" bits.gp
# Block 0: position, format. Then a block a pruning: position, speed, lo, hi, perplexity, lo, hi, cell.
if (!exists("height")) height = 600
if (!exists("quality")) quality = 1
load ARG0[:strlen(ARG0) - strlen("bits.gp")] . "style.gp"
stats data index 0 using 1 name "place" nooutput
set xrange [-0.4:place_max + 0.4]
if (place_max > 5) set xtics rotate by -35
if (quality) set multiplot layout 2,1
set yrange [0:*]
set ylabel speed
if (!quality) set xlabel "weight format, fewer bits to the right"
plot data index 0 using 1:(NaN):xticlabels(2) notitle, \
     for [i = 1:blocks - 1] data index i using 1:2 with linespoints linecolor rgb color(i - 1) dashtype dash(i - 1) linewidth 1.5 pointtype shape(i - 1) pointsize 0.7 title columnheader(1), \
     for [i = 1:blocks - 1] data index i using 1:2:3:4 with yerrorbars linecolor rgb color(i - 1) pointtype 0 notitle, \
     for [i = 1:blocks - 1] data index i using 1:2:(cell($8)) with labels hypertext point pointtype shape(i - 1) pointsize 0.7 linecolor rgb color(i - 1) notitle
if (quality) {
    unset key
    set tmargin 1
    set yrange [*:*]
    stats data index 1:blocks - 1 using 5 name "quality" nooutput
    eval perplexity_axis(quality_min, quality_max)
    set xlabel "weight format, fewer bits to the right"
    plot data index 0 using 1:(NaN):xticlabels(2) notitle, \
         for [i = 1:blocks - 1] data index i using 1:5 with lines linecolor rgb color(i - 1) dashtype dash(i - 1) linewidth 1.5 notitle, \
         for [i = 1:blocks - 1] data index i using 1:5:6:7 with yerrorbars linecolor rgb color(i - 1) pointtype 0 notitle, \
         for [i = 1:blocks - 1] data index i using 1:5:(cell($8)) with labels hypertext point pointtype shape(i - 1) pointsize 0.7 linecolor rgb color(i - 1) notitle
    unset multiplot
}
