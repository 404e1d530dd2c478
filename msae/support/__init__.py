"""What every room uses: judging arguments, writing files, hashing what a result was made from, sums in float64, tokens as text,
and what it was all measured on."""
