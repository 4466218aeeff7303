"""An experiment as a whole: protocol, NNI's database and manager, results, report."""
