!> Cosine cutoff function and its derivative (Behler 2011; Artrith, Urban, Ceder 2017).
module tf_cutoff
   use tf_kinds, only : wp
   use tf_constants, only : pi
   implicit none
   private
   public :: cosine_cutoff, cosine_cutoff_values

   ! Taylor coefficients of sin(t)/t and cos(t) in t²; |t| <= pi/2 leaves an error below 1e-16.
   ! Written out, branch free, so that whole neighbour lists run in vector registers.
   real(wp), parameter :: s1 = -1.0_wp/6.0_wp, s2 = 1.0_wp/120.0_wp, s3 = -1.0_wp/5040.0_wp, &
      s4 = 1.0_wp/362880.0_wp, s5 = -1.0_wp/39916800.0_wp, s6 = 1.0_wp/6227020800.0_wp, &
      s7 = -1.0_wp/1307674368000.0_wp, s8 = 1.0_wp/355687428096000.0_wp, &
      s9 = -1.0_wp/121645100408832000.0_wp, s10 = 1.0_wp/51090942171709440000.0_wp
   real(wp), parameter :: c1 = -1.0_wp/2.0_wp, c2 = 1.0_wp/24.0_wp, c3 = -1.0_wp/720.0_wp, &
      c4 = 1.0_wp/40320.0_wp, c5 = -1.0_wp/3628800.0_wp, c6 = 1.0_wp/479001600.0_wp, &
      c7 = -1.0_wp/87178291200.0_wp, c8 = 1.0_wp/20922789888000.0_wp, &
      c9 = -1.0_wp/6402373705728000.0_wp, c10 = 1.0_wp/2432902008176640000.0_wp, &
      c11 = -1.0_wp/1124000727777607680000.0_wp

contains

   !> fc = ½(cos(π r/r_cut) + 1) for r < r_cut, zero beyond, and dfc/dr
   pure subroutine cosine_cutoff(n, r, r_cut, fc, dfc_dr)
      !> Number of distances
      integer, intent(in) :: n
      !> Distances, Å
      real(wp), intent(in) :: r(n)
      !> Cutoff radius, Å
      real(wp), intent(in) :: r_cut
      !> Cutoff function
      real(wp), intent(out) :: fc(n)
      !> Its derivative, 1/Å
      real(wp), intent(out) :: dfc_dr(n)
      integer :: i
      real(wp) :: t, t2, sine, cosine, inside
      !$omp simd private(t, t2, sine, cosine, inside)
      do i = 1, n
         ! cos(π x) = -sin(π (x - ½)): the argument stays within ±π/2
         inside = merge(1.0_wp, 0.0_wp, r(i) < r_cut)
         t = pi*(min(r(i)/r_cut, 1.0_wp) - 0.5_wp)
         t2 = t*t
         sine = t*(1.0_wp + t2*(s1 + t2*(s2 + t2*(s3 + t2*(s4 + t2*(s5 + t2*(s6 + t2*(s7 + &
            t2*(s8 + t2*(s9 + t2*s10))))))))))
         cosine = 1.0_wp + t2*(c1 + t2*(c2 + t2*(c3 + t2*(c4 + t2*(c5 + t2*(c6 + t2*(c7 + &
            t2*(c8 + t2*(c9 + t2*(c10 + t2*c11))))))))))
         fc(i) = inside*(0.5_wp - 0.5_wp*sine)
         dfc_dr(i) = -inside*(0.5_wp*pi/r_cut)*cosine
      end do
   end subroutine cosine_cutoff

   !> The same without the derivative
   pure subroutine cosine_cutoff_values(n, r, r_cut, fc)
      integer, intent(in) :: n
      !> Distances, Å
      real(wp), intent(in) :: r(n)
      !> Cutoff radius, Å
      real(wp), intent(in) :: r_cut
      !> Cutoff function
      real(wp), intent(out) :: fc(n)
      integer :: i
      real(wp) :: t, t2, sine
      !$omp simd private(t, t2, sine)
      do i = 1, n
         t = pi*(min(r(i)/r_cut, 1.0_wp) - 0.5_wp)
         t2 = t*t
         sine = t*(1.0_wp + t2*(s1 + t2*(s2 + t2*(s3 + t2*(s4 + t2*(s5 + t2*(s6 + t2*(s7 + &
            t2*(s8 + t2*(s9 + t2*s10))))))))))
         fc(i) = merge(0.5_wp - 0.5_wp*sine, 0.0_wp, r(i) < r_cut)
      end do
   end subroutine cosine_cutoff_values

end module tf_cutoff
