"""The folder of a study as one table: factors, points, runs and their figures.

from llem_report._study_data.read import read_study_data
data = read_study_data("results/my-study", figure=None, by="axis")
"""
